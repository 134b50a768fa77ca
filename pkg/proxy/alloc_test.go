package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
)

// allocations is the budget of a proxied request: server, proxy, pool, transport, access log. They are the strings of the two heads,
// which handlers may keep, and of the request's id. Metrics may cost one more.
const allocations = 3

// loop is a client and a proxy over real sockets, and a backend that costs nothing: it answers whatever it gets.
type loop struct {
	conn    net.Conn
	request []byte
	buffer  []byte
	length  int
}

func newLoop(t testing.TB, options ...func(*route.Table, *route.Route)) *loop {
	t.Helper()
	const answer = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nServer: x\r\n\r\nHello, world\n"
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, out := make([]byte, 8<<10), []byte(answer)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write(out); err != nil {
						return
					}
				}
			}()
		}
	}()
	live := &route.Live{}
	connections := pool.New(pool.Options{AllowLoopback: true})
	log := proxy.NewLineLog(io.Discard, proxy.JSON)
	p := proxy.New(proxy.Options{Tables: live, Pool: connections, Log: log})
	table := tableOf([]string{backend.Addr().String()}, options...)
	p.Prepare(table)
	live.Swap(table)
	p.Settle()
	s := &http1.Server{Handler: p, MaxRequests: -1}
	go func() { _ = s.Serve(front) }()
	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		_ = s.Close()
		connections.Close()
		_ = backend.Close()
		_ = log.Flush(context.Background())
	})
	l := &loop{conn: conn, buffer: make([]byte, 4<<10)}
	l.request = []byte("GET /path/to/page?query=1 HTTP/1.1\r\nHost: app.test\r\nUser-Agent: wrk\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n")
	l.once(t)
	return l
}

func (l *loop) once(t testing.TB) {
	if _, err := l.conn.Write(l.request); err != nil {
		t.Fatal(err)
	}
	n, err := l.conn.Read(l.buffer)
	if err != nil {
		t.Fatal(err)
	}
	if l.length == 0 {
		if !strings.HasPrefix(string(l.buffer[:n]), "HTTP/1.1 200 OK\r\n") {
			t.Fatalf("%s", l.buffer[:n])
		}
		l.length = n
	} else if n != l.length {
		t.Fatalf("%d bytes, want %d: %s", n, l.length, l.buffer[:n])
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := newLoop(t)
	for range 1000 {
		l.once(t)
	}
	if n := testing.AllocsPerRun(5000, func() { l.once(t) }); n > allocations {
		t.Errorf("%v allocations for a proxied request, at most %d", n, allocations)
	} else {
		t.Logf("%v allocations for a proxied request", n)
	}
}

// BenchmarkRequest is a whole request over loopback sockets, the client's work included.
func BenchmarkRequest(b *testing.B) {
	l := newLoop(b)
	b.ReportAllocs()
	for b.Loop() {
		l.once(b)
	}
}

var _ http.Handler = (*proxy.Proxy)(nil)
