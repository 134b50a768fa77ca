package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// patience is for what should not take long.
const patience = 30 * time.Second

// act does one case. Those of gRPC end the process when they fail.
func act(name string, cc *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := testgrpc.NewTestServiceClient(cc)
	theirs := map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"custom_metadata":             interop.DoCustomMetadata,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
		"special_status_message":      interop.DoSpecialStatusMessage,
	}
	if do, ok := theirs[name]; ok {
		do(ctx, client)
		return nil
	}
	switch name {
	case "unimplemented_method":
		interop.DoUnimplementedMethod(ctx, cc)
		return nil
	case "unimplemented_service":
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
		return nil
	case "spread":
		return spread(ctx, client)
	case "hold":
		return hold(ctx, client)
	case "cancel":
		return leave(client, context.WithCancel)
	case "deadline":
		return leave(client, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 3*time.Second)
		})
	}
	return fmt.Errorf("no case %q", name)
}

// open opens a stream and waits for the first answer on it; it returns which server gave that.
func open(ctx context.Context, client testgrpc.TestServiceClient) (stream testgrpc.TestService_FullDuplexCallClient, server string, err error) {
	if stream, err = client.FullDuplexCall(ctx, grpc.WaitForReady(true)); err != nil {
		return nil, "", err
	}
	ask := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 10}}}
	if err := stream.Send(ask); err != nil {
		return nil, "", err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, "", err
	}
	header, err := stream.Header()
	if err != nil || len(header["x-server"]) != 1 {
		return nil, "", fmt.Errorf("header %v: %w", header, err)
	}
	return stream, header["x-server"][0], nil
}

// spread opens streams on one connection, side by side, and prints the server of each.
func spread(ctx context.Context, client testgrpc.TestServiceClient) error {
	for range 30 {
		stream, server, err := open(ctx, client)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, server)
		defer func() {
			_ = stream.CloseSend()
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stdout, "end of a stream:", err)
			}
		}()
	}
	return nil
}

// hold opens a stream, says who has it, and wants to hear that the server has gone.
func hold(ctx context.Context, client testgrpc.TestServiceClient) error {
	stream, server, err := open(ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, server)
	if _, err = stream.Recv(); status.Code(err) != codes.Unavailable {
		return fmt.Errorf("when the server has gone: %w", err)
	}
	return nil
}

// leave opens a stream and leaves it by what ends its context.
func leave(client testgrpc.TestServiceClient, limit func(context.Context) (context.Context, context.CancelFunc)) error {
	ctx, cancel := limit(context.Background())
	defer cancel()
	stream, _, err := open(ctx, client)
	if err != nil {
		return err
	}
	if _, limited := ctx.Deadline(); !limited {
		cancel()
	} else if err := knowsDeadline(stream); err != nil {
		return err
	}
	_, err = stream.Recv()
	if code := status.Code(err); code != codes.Canceled && code != codes.DeadlineExceeded {
		return fmt.Errorf("the stream ended with %w", err)
	}
	fmt.Fprintln(os.Stdout, status.Code(err))
	return nil
}

// knowsDeadline returns nil if the server has been told when the stream must end.
func knowsDeadline(stream grpc.ClientStream) error {
	header, err := stream.Header()
	if err != nil || len(header["x-time-left"]) != 1 {
		return fmt.Errorf("the server knows no deadline: header %v, %w", header, err)
	}
	left, err := time.ParseDuration(header["x-time-left"][0])
	if err != nil || left <= 0 || left > 3*time.Second {
		return fmt.Errorf("the server has %v left: %w", left, err)
	}
	return nil
}
