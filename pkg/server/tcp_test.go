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

// startStreams makes a Server for which the ports of TCP services are only numbers: each is any free one. taken is one that is not.
func startStreams(t *testing.T, e *echoing, taken ...net.Addr) *running {
	return start(t, tell, func(o *Options) {
		o.Streams = e
		o.TCP = func(port uint16) []string {
			if port == portTaken && len(taken) > 0 {
				return []string{"127.0.0.1:0", taken[0].String()}
			}
			return []string{"127.0.0.1:0"}
		}
	})
}

const (
	portOne, portTwo = 5432, 5433
	portTaken        = 5434
)

// at is where a port of a TCP service is.
func (s *running) at(port uint16) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tcp[port][0].Addr().String()
}

func (s *running) dial(t *testing.T, port uint16) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.at(port))
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
	const one, two = portOne, portTwo
	if failed := s.ListenTCP([]uint16{one, two}); len(failed) > 0 {
		t.Fatal(failed)
	}
	first, staying := s.at(one), s.dial(t, one)
	until(t, "accepted", func() bool { return s.conns.on("tcp") == 1 }) // what waits in the queue goes with the port
	if got := talk(s.dial(t, two), "hello"); !strings.HasSuffix(got, fmt.Sprintf(" at %d: hello", two)) {
		t.Errorf("got %q", got)
	}
	until(t, "counted", func() (yes bool) {
		s.Connections(func(l, state string, n int64) { yes = yes || l == "tcp" && state == "upgraded" && n == 1 })
		return yes
	})
	if failed := s.ListenTCP([]uint16{two}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if !refuses(first) {
		t.Error("the port is still open")
	}
	if got := talk(staying, "still here"); !strings.HasSuffix(got, "still here") {
		t.Errorf("the connection to the port that closed: got %q", got)
	}
	if failed := s.ListenTCP([]uint16{one, two}); len(failed) > 0 {
		t.Error(failed)
	}
	if got := talk(s.dial(t, one), "again"); !strings.HasSuffix(got, "again") {
		t.Errorf("got %q", got)
	}
}

// A port that is taken is told, leaves the others alone, and is opened when it is free.
func TestListenTCPOnATakenPort(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := startStreams(t, &echoing{}, other.Addr())
	failed := s.ListenTCP([]uint16{portTaken, portOne})
	if len(failed) != 1 || !errors.Is(failed[portTaken], syscall.EADDRINUSE) || s.tcp[portTaken] != nil {
		t.Errorf("got %v", failed)
	}
	if got := talk(s.dial(t, portOne), "hello"); !strings.HasSuffix(got, "hello") {
		t.Errorf("got %q", got)
	}
	other.Close()
	until(t, "opened when it is free", func() bool { return len(s.ListenTCP([]uint16{portTaken, portOne})) == 0 })
}

func TestTCPProxyHeader(t *testing.T) {
	const port = portOne
	s := startStreams(t, &echoing{wait: 10 * time.Second})
	if failed := s.ListenTCP([]uint16{port}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if got, want := talk(s.dial(t, port), v2(0x21, 0x11, fourAddresses...)+"hello"), fmt.Sprintf("192.0.2.7:51201 at %d: hello", port); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := talk(s.dial(t, port), "hello"); got != "" {
		t.Errorf("without a header: got %q", got)
	}
	strangers := startStreams(t, &echoing{refused: true})
	if failed := strangers.ListenTCP([]uint16{port}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if got := talk(strangers.dial(t, port), v2(0x21, 0x11, fourAddresses...)); got != "" {
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
	const port = portOne
	if failed := s.ListenTCP([]uint16{port}); len(failed) > 0 {
		t.Fatal(failed)
	}
	where, conn := s.at(port), s.dial(t, port)
	until(t, "accepted", func() bool { return s.conns.on("tcp") == 1 })
	drained := s.drain(time.Minute)
	until(t, "port closed", func() bool { return refuses(where) })
	if got := talk(conn, "bye"); !strings.HasSuffix(got, "bye") {
		t.Errorf("got %q", got)
	}
	if err := <-drained; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if failed := s.ListenTCP([]uint16{port}); len(failed) > 0 || !refuses(where) {
		t.Errorf("a port opened after the drain: %v", failed)
	}
}
