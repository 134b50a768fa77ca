package http2

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

// dialTunnel opens one with a handler that serves it.
func dialTunnel(t *testing.T, h func(c net.Conn)) *peer {
	t.Helper()
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "websocket" || r.Body != http.NoBody {
			t.Errorf("%s, %v, body %v", r.Method, r.Header, r.Body)
		}
		w.Header().Set("Content-Length", "5") // means nothing here
		c, err := w.(interface{ Tunnel() (net.Conn, error) }).Tunnel()
		if err != nil {
			t.Error(err)
			return
		}
		h(c)
	})}))
	p.head(1, false, connect("WebSocket")...)
	return p
}

// Bytes go both ways, far more than a window, and each direction ends by itself.
func TestTunnel(t *testing.T) {
	p := dialTunnel(t, func(c net.Conn) {
		_, _ = io.Copy(c, c)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	})
	const pieces, size = 100, 10_000
	for range pieces {
		p.must(p.framer.WriteData(1, false, make([]byte, size)))
		for got := 0; got < size; {
			frame, err := p.framer.ReadFrame()
			p.must(err)
			if f, ok := frame.(*xhttp2.DataFrame); ok {
				got += len(f.Data())
			}
		}
		p.must(p.framer.WriteWindowUpdate(0, size))
		p.must(p.framer.WriteWindowUpdate(1, size))
	}
	p.must(p.framer.WriteData(1, true, nil))
	if got := p.outcome(1); got != "200" && got != "" {
		t.Errorf("got %s", got)
	}
}

// A handler that just returns leaves no doubt that the end is not an orderly one.
func TestTunnelIsCutByReturning(t *testing.T) {
	p := dialTunnel(t, func(net.Conn) {})
	if got := p.outcome(1); got != "RST CANCEL" {
		t.Errorf("got %s", got)
	}
}

// Deadlines of reads are a connection's; the client's reset is an error, not an end.
func TestTunnelDeadlineAndReset(t *testing.T) {
	failed := make(chan error)
	p := dialTunnel(t, func(c net.Conn) {
		_ = c.SetReadDeadline(time.Now())
		_, err := c.Read(make([]byte, 1))
		failed <- err
		_ = c.SetReadDeadline(time.Time{})
		_, err = c.Read(make([]byte, 1))
		failed <- err
		_, err = c.Write([]byte("x"))
		failed <- err
	})
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	p.must(p.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
	for range 2 {
		if err := <-failed; !errors.Is(err, errStreamReset) {
			t.Errorf("reset: %v", err)
		}
	}
}

// Requests that are no extended CONNECT have no tunnel.
func TestNoTunnel(t *testing.T) {
	result := make(chan error, 1)
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.(interface{ Tunnel() (net.Conn, error) }).Tunnel()
		result <- err
	})}))
	p.get(1)
	if err := <-result; !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("got %v", err)
	}
}
