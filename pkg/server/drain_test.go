package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// gate is a handler that tells of each request and holds it until it is opened.
type gate struct {
	entered chan string
	leave   chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 10), make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/quick" {
		return
	}
	g.entered <- r.Proto
	<-g.leave
	_, _ = io.WriteString(w, "done")
}

// drain starts a drain and returns where its result comes.
func (s *running) drain(grace time.Duration) <-chan error {
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		result <- s.Drain(ctx)
	}()
	<-s.stopping
	return result
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		g := newGate()
		s := start(t, g.ServeHTTP)
		protocols := map[string][]string{"HTTP/1.1": {"http/1.1"}}[protocol]
		c := client(t, protocols...)
		bodies := make(chan string)
		go func() {
			resp, body := get(t, c, "https://"+s.https)
			if protocol == "HTTP/1.1" && !resp.Close {
				t.Error("no Connection: close on an answer during the drain")
			}
			bodies <- body
		}()
		if got := <-g.entered; got != protocol {
			t.Fatalf("got %s, want %s", got, protocol)
		}
		drained := s.drain(time.Minute)
		until(t, "listener closed", func() bool { return refuses(s.https) })
		select {
		case err := <-drained:
			t.Fatalf("%s: the drain did not wait: %v", protocol, err)
		case <-time.After(2 * drainGrace): // idle connections have been closed by now; this one was not idle
		}
		close(g.leave)
		if body := <-bodies; body != "done" {
			t.Errorf("%s: got %q", protocol, body)
		}
		if err := <-drained; err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestFarewell: clients that are asked to go elsewhere are answered until they have.
func TestFarewell(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	one, two := client(t, "http/1.1"), client(t)
	_, first1 := get(t, one, "https://"+s.https)
	_, first2 := get(t, two, "https://"+s.https)
	s.Farewell()
	last, last1 := get(t, one, "https://"+s.https)
	if !last.Close || last1 != first1 {
		t.Errorf("HTTP/1.1: Connection: close is %v; on %s after %s", last.Close, last1, first1)
	}
	until(t, "HTTP/2: another connection", func() bool {
		_, next := get(t, two, "https://"+s.https)
		return next != first2
	})
	if err := <-s.drain(time.Minute); err != nil {
		t.Error(err)
	}
}

func refuses(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

func TestDrainClosesIdleConnections(t *testing.T) {
	s := start(t, newGate().ServeHTTP)
	for _, c := range []struct {
		url       string
		protocols []string
	}{{"http://" + s.http, nil}, {"https://" + s.https, []string{"http/1.1"}}, {"https://" + s.https, nil}} {
		get(t, client(t, c.protocols...), c.url+"/quick")
	}
	silent, err := net.Dial("tcp", s.http) // one that never says anything
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := <-s.drain(time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the silent connection got %v", err)
	}
}

// Connections that come, or end their handshake, after the drain began still get one answer.
func TestDrainServesLateComers(t *testing.T) {
	s := start(t, tell)
	plain, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	socket, err := net.Dial("tcp", s.https)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	until(t, "accepted", func() bool { return s.conns.on("http") == 1 && s.conns.begun("https") == 1 })
	drained := s.drain(time.Minute)

	secure := tls.Client(socket, &tls.Config{InsecureSkipVerify: true})
	for _, conn := range []net.Conn{plain, secure} {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: late.example.com\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "late.example.com") {
			t.Errorf("got %q", body)
		}
		if conn == secure && !resp.Close {
			t.Error("no Connection: close after the drain began")
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// echo takes the connection over, as a WebSocket does, and sends back what it gets.
func echo(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

func upgrade(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: ws.example.com\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("got %v, %v", resp, err)
	}
	return conn, in
}

func alive(t *testing.T, conn net.Conn, in *bufio.Reader) {
	t.Helper()
	fmt.Fprintln(conn, "still there?")
	if line, err := in.ReadString('\n'); err != nil || line != "still there?\n" {
		t.Errorf("the upgraded connection gave %q, %v", line, err)
	}
}

func TestDrainWaitsForUpgradedConnections(t *testing.T) {
	s := start(t, echo)
	conn, in := upgrade(t, s.http)
	until(t, "counted as upgraded", func() (upgraded bool) {
		s.Connections(func(l, state string, n int64) { upgraded = upgraded || l == "http" && state == "upgraded" && n == 1 })
		return upgraded
	})
	drained := s.drain(time.Minute)
	until(t, "listener closed", func() bool { return refuses(s.http) })
	alive(t, conn, in)
	conn.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestDrainCutsWhenTheGraceEnds(t *testing.T) {
	g := newGate()
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		g.entered <- r.Proto
		<-r.Context().Done() // closing the connection must reach the handler
	})
	conn, in := upgrade(t, s.http)
	for _, protocols := range [][]string{{"http/1.1"}, {"h2", "http/1.1"}} {
		c := client(t, protocols...)
		go func() {
			if resp, err := c.Get("https://" + s.https); err == nil {
				resp.Body.Close()
				t.Errorf("%v: got %d", protocols, resp.StatusCode)
			}
		}()
		<-g.entered
	}
	err := <-s.drain(300 * time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 connections") {
		t.Errorf("got %v", err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the upgraded connection lives on")
	}
	conn.Close()
}

// An HTTP/2 client is told with a GOAWAY, goes elsewhere with new requests, and gets the answers to the old ones.
func TestDrainSendsGoAway(t *testing.T) {
	g := newGate()
	s := start(t, g.ServeHTTP)
	c := dialHTTP2(t, s.https)
	c.request(1, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "shop.example.com")
	<-g.entered
	drained := s.drain(time.Minute)
	// First that it is to go, with room for what it has sent meanwhile; then, as it has heard, which stream was the last.
	if goAway := c.goAway(); goAway.LastStreamID != 1<<31-1 || goAway.ErrCode != 0 {
		t.Errorf("got %v", goAway)
	}
	ping, err := c.framer.ReadFrame()
	c.must(err)
	c.request(3, ":method", "GET", ":scheme", "https", ":path", "/quick", ":authority", "shop.example.com")
	if status, _ := c.response(3); status != "200" {
		t.Errorf("a request that crossed the GOAWAY got %s", status)
	}
	c.must(c.framer.WritePing(true, ping.(*http2.PingFrame).Data))
	if goAway := c.goAway(); goAway.LastStreamID != 3 || goAway.ErrCode != 0 {
		t.Errorf("got %v", goAway)
	}
	close(g.leave)
	if status, body := c.response(1); status != "200" || body != "done" {
		t.Errorf("got %s %q", status, body)
	}
	c.conn.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// A part of a Group ends the others when it returns, so Serve must not before the drain is over.
func TestServeLastsAsLongAsTheDrain(t *testing.T) {
	g := newGate()
	s, err := New(Options{Handler: g, Plain: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	body := make(chan string, 1)
	go func() {
		_, got := get(t, client(t), "http://"+s.Plain()[0].String())
		body <- got
	}()
	<-g.entered
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	until(t, "listener closed", func() bool { return refuses(s.Plain()[0].String()) })
	select {
	case <-served:
		t.Error("Serve returned while a request was in flight")
	case <-time.After(2 * drainGrace):
	}
	close(g.leave)
	if got := <-body; got != "done" {
		t.Errorf("got %q", got)
	}
	for what, result := range map[string]<-chan error{"Drain": drained, "Serve": served} {
		if err := <-result; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDrainBeforeServe(t *testing.T) {
	s, err := New(Options{Handler: http.HandlerFunc(tell), Plain: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(); err != nil {
		t.Error(err)
	}
	if !refuses(s.Plain()[0].String()) {
		t.Error("still listening")
	}
}
