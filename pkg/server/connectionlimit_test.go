package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// keeping is a client with one connection.
type keeping struct {
	net.Conn
	in *bufio.Reader
}

func keep(t *testing.T, address string) *keeping {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &keeping{conn, bufio.NewReader(conn)}
}

// served has one more request answered on the connection; false is that it was closed instead.
func (k *keeping) served() bool {
	fmt.Fprint(k, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
	resp, err := http.ReadResponse(k.in, nil)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// servedAnew has a request answered on a new connection. The reset of one that is refused may reach a client while it still connects.
func servedAnew(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return (&keeping{conn, bufio.NewReader(conn)}).served()
}

func (e *events) count(of map[string]int, listener string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return of[listener]
}

// The limit is one for all listeners. Those who have a connection keep it, and each that ends makes room for another.
func TestConnectionsBeyondTheLimit(t *testing.T) {
	s := start(t, tell, func(o *Options) {
		o.Streams, o.TCP, o.Limits.Connections = &echoing{}, func(uint16) []string { return []string{"127.0.0.1:0"} }, 3
	})
	s.ListenTCP([]uint16{portOne})
	if got := s.MaxConnections(); got != 3 {
		t.Fatalf("the limit is %d", got)
	}
	web, secure, stream := keep(t, s.http), keep(t, s.https), keep(t, s.at(portOne))
	if !web.served() {
		t.Fatal("the first connection was not served")
	}
	until(t, "three connections", func() bool { return s.conns.on(nameHTTP)+s.conns.on(nameHTTPS)+s.conns.on(nameTCP) == 3 })
	for name, address := range map[string]string{nameHTTP: s.http, nameHTTPS: s.https, nameTCP: s.at(portOne)} {
		if servedAnew(address) {
			t.Errorf("%s: a fourth connection was served", name)
		}
		until(t, name+" counted", func() bool { return s.events.count(s.events.refused, name) == 1 })
		if n := s.events.count(s.events.opened, name); n != 1 {
			t.Errorf("%s: %d were opened, want the refused one not among them", name, n)
		}
	}
	if !web.served() {
		t.Error("a connection that was there before is not served any more")
	}
	stream.Close()
	until(t, "room again", func() bool { return s.conns.on(nameTCP) == 0 && s.open.taken.Load() == 2 })
	if !servedAnew(s.http) {
		t.Error("there is room, and a connection was refused")
	}
	secure.Close()
}

// A thousand refusals are one line or two, not a thousand.
func TestRefusedConnectionsAreLoggedNowAndThen(t *testing.T) {
	p := connectionLimit{most: 1}
	if n := p.refusedOne(); n != 1 {
		t.Errorf("the first is told as %d", n)
	}
	for range 10 {
		if n := p.refusedOne(); n != 0 {
			t.Fatalf("told again at once, as %d", n)
		}
	}
	p.told = p.told.Add(-tellEvery)
	if n := p.refusedOne(); n != 11 {
		t.Errorf("a second later %d are told, want 11", n)
	}
}

// A server that is full drains as any other: it ends what it has, and what waits in the kernel does not hold it up.
func TestDrainWhenFull(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	}, func(o *Options) { o.Limits.Connections = 1 })
	inFlight := keep(t, s.http)
	answered := make(chan bool, 1)
	go func() { answered <- inFlight.served() }()
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	if servedAnew(s.https) {
		t.Error("a connection beyond the limit was served")
	}
	close(leave)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if !<-answered {
		t.Error("the request in flight was not answered")
	}
	if n := s.open.taken.Load(); n != 0 {
		t.Errorf("%d connections are counted after the end", n)
	}
}

func TestDefaultConnections(t *testing.T) {
	want := min(openFiles()/3, 65536)
	if got := (Limits{}).withDefaults().Connections; got < 1 || uint64(got) != want {
		t.Errorf("got %d, want %d: a third of %d open files", got, want, openFiles())
	}
}

func TestLimitAboveOpenFilesIsWarnedOf(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Limits.Connections = int(openFiles()) })
	if got := s.logs.FilterMessageSnippet("limit of connections is not below that of open files").Len(); got != 1 {
		t.Errorf("%d warnings", got)
	}
}
