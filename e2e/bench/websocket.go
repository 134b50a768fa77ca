package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// runEcho keeps 64 WebSockets busy for the time of a turn: each sends a short text frame, waits for its echo and sends the next.
func runEcho(ctx context.Context, t *target, turn time.Duration) (load, error) {
	begin := time.Now()
	end := begin.Add(turn)
	var done, failed atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			if err := oneEcho(ctx, t, end, &done); err != nil {
				failed.Add(1)
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	wg.Wait()
	if err := first.Load(); err != nil && done.Load() == 0 {
		return load{}, *err
	}
	return load{Done: float64(done.Load()), Failed: failed.Load(), Elapsed: time.Since(begin)}, ctx.Err()
}

func oneEcho(ctx context.Context, t *target, end time.Time, done *atomic.Int64) error {
	c, err := dial(ctx, t, false, end.Add(10*time.Second))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	err = c.send(http.MethodGet, echoPath, plainHost, "Upgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	if err != nil {
		return err
	}
	if _, err := c.receive(http.StatusSwitchingProtocols); err != nil {
		return err
	}
	text := []byte("thirty-two bytes, as chats send.")
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // FIN and text; a mask of zero leaves the text as it is
	want := append([]byte{0x81, byte(len(text))}, text...)
	got := make([]byte, len(want))
	for { // once at least, however late it has become
		if _, err := c.Write(frame); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.in, got); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return errors.New("echo differs")
		}
		done.Add(1)
		if !time.Now().Before(end) || ctx.Err() != nil {
			return nil
		}
	}
}
