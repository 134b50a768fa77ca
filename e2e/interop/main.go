// Program interop is gRPC's own interoperability client and server (google.golang.org/grpc/interop), and a few cases beside theirs that a
// proxy can get wrong:
//
//	interop server -listen 10.244.0.1:8080 -name one
//	interop client -connect 192.0.2.11:443 -case ping_pong
//
// The client speaks TLS and trusts every certificate; it exits with status 1 when a case fails. The server speaks HTTP/2 in the clear. It
// names itself in the header field x-server, says in x-time-left what it knows of a deadline, and prints how each stream ended that did not end well.
//
// It lives in a module of its own, so that the product's go.mod stays small.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("want server or client")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	listen := flags.String("listen", "", "where the server listens")
	name := flags.String("name", "", "of the server")
	connect := flags.String("connect", "", "where the client connects to")
	authority := flags.String("authority", "grpc.example", "whom the client asks for")
	which := flags.String("case", "", "what the client does")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	if arguments[0] == "server" {
		return serve(*listen, *name)
	}
	cc, err := grpc.NewClient("passthrough:///"+*connect, grpc.WithAuthority(*authority),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))) //nolint:gosec // a test's
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	return act(*which, cc)
}

func serve(address, name string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.StreamInterceptor(
		func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			header := metadata.Pairs("x-server", name)
			if deadline, ok := stream.Context().Deadline(); ok {
				header.Set("x-time-left", time.Until(deadline).String())
			}
			if err := stream.SetHeader(header); err != nil {
				return err
			}
			err := handler(service, stream)
			if ended := stream.Context().Err(); ended != nil {
				fmt.Fprintf(os.Stdout, "%s: %v\n", info.FullMethod, ended)
			}
			return err
		}))
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	return server.Serve(l)
}
