package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echoing are Streams that say who is there, and then what they hear.
type echoing struct {
	wait    time.Duration
	refused bool
}

func (e *echoing) Introduction(uint16, netip.Addr) (time.Duration, bool) { return e.wait, !e.refused }

func (e *echoing) Stream(conn net.Conn, port uint16) {
	defer conn.Close()
	fmt.Fprintf(conn, "%s at %d: ", conn.RemoteAddr(), port)
	_, _ = io.Copy(conn, conn)
}

func startStreams(t *testing.T, e *echoing) *running {
	return start(t, tell, func(o *Options) {
		o.Streams = e
		o.TCP = func(port uint16) []string { return []string{fmt.Sprintf("127.0.0.1:%d", port)} }
	})
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func dialPort(t *testing.T, port uint16) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// talk sends text and returns all that comes back.
func talk(conn *net.TCPConn, text string) string {
	_, _ = io.WriteString(conn, text)
	_ = conn.CloseWrite()
	got, _ := io.ReadAll(conn)
	return string(got)
}

// Ports open and close; a connection to a port that closes lives on.
func TestListenTCP(t *testing.T) {
	s := startStreams(t, &echoing{})
	one, two := freePort(t), freePort(t)
	if failed := s.ListenTCP([]uint16{one, two}); len(failed) > 0 {
		t.Fatal(failed)
	}
	staying := dialPort(t, one)
	if got := talk(dialPort(t, two), "hello"); !strings.HasSuffix(got, fmt.Sprintf(" at %d: hello", two)) {
		t.Errorf("got %q", got)
	}
	until(t, "counted", func() (yes bool) {
		s.Connections(func(l, state string, n int64) { yes = yes || l == "tcp" && state == "upgraded" && n == 1 })
		return yes
	})
	if failed := s.ListenTCP([]uint16{two}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if !refuses(fmt.Sprintf("127.0.0.1:%d", one)) {
		t.Error("the port is still open")
	}
	if got := talk(staying, "still here"); !strings.HasSuffix(got, "still here") {
		t.Errorf("the connection to the port that closed: got %q", got)
	}
	if failed := s.ListenTCP([]uint16{one, two}); len(failed) > 0 {
		t.Error(failed)
	}
	if got := talk(dialPort(t, one), "again"); !strings.HasSuffix(got, "again") {
		t.Errorf("got %q", got)
	}
}

// A port that is taken is told, leaves the others alone, and is opened when it is free.
func TestListenTCPOnATakenPort(t *testing.T) {
	s := startStreams(t, &echoing{})
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken, free := uint16(other.Addr().(*net.TCPAddr).Port), freePort(t)
	failed := s.ListenTCP([]uint16{taken, free})
	if len(failed) != 1 || !errors.Is(failed[taken], syscall.EADDRINUSE) {
		t.Errorf("got %v", failed)
	}
	if got := talk(dialPort(t, free), "hello"); !strings.HasSuffix(got, "hello") {
		t.Errorf("got %q", got)
	}
	other.Close()
	if failed := s.ListenTCP([]uint16{taken, free}); len(failed) > 0 {
		t.Errorf("when it is free: %v", failed)
	}
}

func TestTCPProxyHeader(t *testing.T) {
	port := freePort(t)
	s := startStreams(t, &echoing{wait: 10 * time.Second})
	if failed := s.ListenTCP([]uint16{port}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if got, want := talk(dialPort(t, port), v2(0x21, 0x11, fourAddresses...)+"hello"), fmt.Sprintf("192.0.2.7:51201 at %d: hello", port); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := talk(dialPort(t, port), "hello"); got != "" {
		t.Errorf("without a header: got %q", got)
	}
	strangers := startStreams(t, &echoing{refused: true})
	port = freePort(t)
	if failed := strangers.ListenTCP([]uint16{port}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if got := talk(dialPort(t, port), v2(0x21, 0x11, fourAddresses...)); got != "" {
		t.Errorf("a stranger got %q", got)
	}
	for _, want := range []string{"ok", "missing"} {
		if got := <-s.events.headers; got != want {
			t.Errorf("counted as %s, want %s", got, want)
		}
	}
	if got := <-strangers.events.headers; got != "untrusted" {
		t.Errorf("counted as %s", got)
	}
}

// A drain closes the ports and waits for their connections.
func TestDrainOfTCP(t *testing.T) {
	s := startStreams(t, &echoing{})
	port := freePort(t)
	if failed := s.ListenTCP([]uint16{port}); len(failed) > 0 {
		t.Fatal(failed)
	}
	conn := dialPort(t, port)
	until(t, "accepted", func() bool { return s.conns.on("tcp") == 1 })
	drained := s.drain(time.Minute)
	until(t, "port closed", func() bool { return refuses(fmt.Sprintf("127.0.0.1:%d", port)) })
	if got := talk(conn, "bye"); !strings.HasSuffix(got, "bye") {
		t.Errorf("got %q", got)
	}
	if err := <-drained; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if failed := s.ListenTCP([]uint16{port}); len(failed) > 0 || !refuses(fmt.Sprintf("127.0.0.1:%d", port)) {
		t.Errorf("a port opened after the drain: %v", failed)
	}
}
