package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/usher-ingress/usher/pkg/policy"
)

// switcher answers 101 with some bytes right behind the head, then echoes lines, and says goodbye after the client's end.
func switcher(t *testing.T) string {
	return raw(t, func(c net.Conn) {
		head, in := readHead(c)
		if !strings.Contains(head, "\r\nUpgrade: echo\r\n") || !strings.Contains(head, "\r\nConnection: Upgrade\r\n") {
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\nX-App: 1\r\nServer: x\r\n\r\nwelcome\n")
		_, _ = io.Copy(c, in)
		fmt.Fprint(c, "goodbye\n")
		_ = c.(*net.TCPConn).CloseWrite()
	})
}

// open asks for an upgrade and returns the connection after the 101, with early bytes sent along.
func (r *rig) open(early string) (net.Conn, *bufio.Reader, *http.Response) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n"+early)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, in, res
}

func TestUpgrade(t *testing.T) {
	r := newRig(t, tableOf([]string{switcher(t)}))
	conn, in, res := r.open("early\n")
	if res.StatusCode != 101 || res.Header.Get("Upgrade") != "echo" || res.Header.Get("Connection") != "Upgrade" || res.Header.Get("X-App") != "1" ||
		res.Header.Get("Server") != "" {
		t.Fatalf("%s %v", res.Status, res.Header)
	}
	for _, want := range []string{"welcome\n", "early\n"} { // nothing that came with the heads is lost
		if line, _ := in.ReadString('\n'); line != want {
			t.Fatalf("got %q, want %q", line, want)
		}
	}
	r.swap(tableOf([]string{nowhere(t)})) // what is open stays open, though its endpoint has left
	if r.proxy.Tunnels().Count() != 1 {
		t.Errorf("%d tunnels", r.proxy.Tunnels().Count())
	}
	fmt.Fprint(conn, "still here\n")
	if line, _ := in.ReadString('\n'); line != "still here\n" {
		t.Fatalf("got %q", line)
	}
	_ = conn.(*net.TCPConn).CloseWrite() // a half-close goes through, and the rest still comes back
	if rest, _ := io.ReadAll(in); string(rest) != "goodbye\n" {
		t.Errorf("got %q", rest)
	}
	rec := r.record(1)
	if rec.Status != 101 || rec.Reason != "" || rec.Error != "" || rec.Received != int64(len("early\nstill here\n")) {
		t.Errorf("record %+v", rec)
	}
	eventually(t, func() bool { return r.proxy.Tunnels().Count() == 0 })
}

func TestQuietTunnelEnds(t *testing.T) {
	r := newRig(t, tableOf([]string{switcher(t)}, with(func(s *policy.Set) { s.Timeouts.Read = time.Second })))
	_, in, _ := r.open("")
	if rest, _ := io.ReadAll(in); string(rest) != "welcome\n" {
		t.Errorf("got %q", rest)
	}
}

func TestTunnelsAreDrained(t *testing.T) {
	r := newRig(t, tableOf([]string{switcher(t)}))
	conn, _, _ := r.open("")
	drained := make(chan error)
	go func() { drained <- r.proxy.Tunnels().Drain(context.Background()) }()
	_ = conn.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	_, in, _ := r.open("")
	ctx, cancel := context.WithCancel(context.Background())
	go func() { drained <- r.proxy.Tunnels().Drain(ctx) }()
	if line, _ := in.ReadString('\n'); line != "welcome\n" {
		t.Errorf("a tunnel that is being drained goes on: %q", line)
	}
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, _ = io.ReadAll(in)
	if err := r.proxy.Tunnels().Drain(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestRefusedUpgrade(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "other")
		w.WriteHeader(http.StatusUpgradeRequired)
	})}))
	_, _, res := r.open("")
	if res.StatusCode != 426 || res.Header.Get("Upgrade") != "other" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
}

func TestWebSocket(t *testing.T) {
	upstream := app(t, websocket.Handler(func(ws *websocket.Conn) {
		var message string
		for websocket.Message.Receive(ws, &message) == nil {
			_ = websocket.Message.Send(ws, message)
		}
	}).ServeHTTP)
	r := newRig(t, tableOf([]string{upstream}))
	config, _ := websocket.NewConfig("ws://app.test/chat", "http://app.test/")
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := websocket.NewClient(config, conn)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for _, message := range []string{"hello", strings.Repeat("x", 1<<20)} {
		go func() { _ = websocket.Message.Send(ws, message) }()
		var got string
		if err := websocket.Message.Receive(ws, &got); err != nil || got != message {
			t.Fatalf("%d bytes, want %d: %v", len(got), len(message), err)
		}
	}
}
