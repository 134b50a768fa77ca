package decide_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/server"
)

// front is a server with a proxy behind it, as Usher has them, and applications that answer with what they got.
type front struct {
	t      *testing.T
	live   *route.Live
	proxy  *proxy.Proxy
	server *server.Server
	plain  string
	secure string
	apps   []string // addresses, of both HTTP and HTTPS
	pki    *pki
	conns  map[string]*client
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{t: t, live: &route.Live{}, pki: newPKI(t), conns: map[string]*client{}}
	connections := pool.New(pool.Options{AllowLoopback: true})
	f.proxy = proxy.New(proxy.Options{Tables: f.live, Pool: connections})
	var err error
	f.server, err = server.New(server.Options{
		Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0"}, Handler: f.proxy,
		TLS: &tls.Config{Certificates: []tls.Certificate{f.pki.server}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}},
		Refused: func(h http.Header, r *http.Request, why server.Refusal) []byte {
			return f.proxy.Refuse(h, r, why.Status, why.Detail)
		},
		KeepUnderscores: func() bool { return f.live.Load().Policy.Headers.KeepUnderscores },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.server.Listen(); err != nil {
		t.Fatal(err)
	}
	f.plain, f.secure = f.server.Plain()[0].String(), f.server.Secure()[0].String()
	served := make(chan struct{})
	go func() { defer close(served); _ = f.server.Serve() }()
	for i := range 4 {
		f.apps = append(f.apps, f.app(fmt.Sprintf("demo/app%d:80", i)))
	}
	t.Cleanup(func() {
		for _, c := range f.conns {
			_ = c.Close()
		}
		_ = f.server.Close()
		<-served
		connections.Close()
	})
	return f
}

func (f *front) swap(table *route.Table) {
	f.proxy.Prepare(table)
	f.live.Swap(table)
	f.proxy.Settle()
}

// received is a request as an application got it.
type received struct {
	Backend string
	TLS     bool
	Target  string
	Host    string
	Header  map[string][]string
}

const seenField = "X-Seen"

// app starts an application at one address for both HTTP and HTTPS.
func (f *front) app(name string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	both := &eitherListener{Listener: l, conns: make(chan net.Conn), tls: &tls.Config{Certificates: []tls.Certificate{f.pki.server}}, closed: make(chan struct{})}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := json.Marshal(received{name, r.TLS != nil, r.RequestURI, r.Host, r.Header})
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set(seenField, base64.StdEncoding.EncodeToString(b))
	})}
	var running sync.WaitGroup
	running.Go(both.accept)
	running.Go(func() { _ = s.Serve(both) })
	f.t.Cleanup(func() { _ = s.Close(); running.Wait() })
	return l.Addr().String()
}

// eitherListener tells TLS by its first byte.
type eitherListener struct {
	net.Listener
	tls    *tls.Config
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *eitherListener) accept() {
	var looking sync.WaitGroup
	defer looking.Wait()
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return
		}
		looking.Go(func() {
			r := bufio.NewReader(c)
			start, err := r.Peek(1)
			if err != nil {
				_ = c.Close()
				return
			}
			var conn net.Conn = &peeked{c, r}
			if start[0] == 0x16 {
				conn = tls.Server(conn, l.tls)
			}
			select {
			case l.conns <- conn:
			case <-l.closed:
				_ = c.Close()
			}
		})
	}
}

func (l *eitherListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *eitherListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// answer is what a client got.
type answer struct {
	status           int
	reason, location string
	seen             *received // nil when no application was asked
}

// client is a connection that is kept.
type client struct {
	net.Conn
	r *bufio.Reader
}

// send makes a request, on a kept connection if there is one.
func (f *front) send(r *request) answer {
	f.t.Helper()
	key := "plain"
	if r.tls {
		key = r.server + " " + r.cert
	}
	c := f.conns[key]
	if c == nil {
		c = f.dial(r)
		f.conns[key] = c
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, r.raw()); err != nil {
		f.t.Fatalf("%s: %v", r, err)
	}
	res, err := http.ReadResponse(c.r, &http.Request{Method: r.method})
	if err != nil {
		f.t.Fatalf("%s: %v", r, err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err != nil || res.Close {
		_ = c.Close()
		delete(f.conns, key)
	}
	a := answer{status: res.StatusCode, reason: res.Header.Get("X-Usher-Reason"), location: res.Header.Get("Location")}
	if text := res.Header.Get(seenField); text != "" {
		b, _ := base64.StdEncoding.DecodeString(text)
		a.seen = &received{}
		if err := json.Unmarshal(b, a.seen); err != nil {
			f.t.Fatal(err)
		}
	}
	return a
}

func (f *front) dial(r *request) *client {
	f.t.Helper()
	address := f.plain
	if r.tls {
		address = f.secure
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		f.t.Fatal(err)
	}
	if r.tls {
		config := &tls.Config{ServerName: r.server, InsecureSkipVerify: true} //nolint:gosec // what it shows is no matter here
		if c, ok := f.pki.clients[r.cert]; ok {
			config.Certificates = []tls.Certificate{c}
		}
		conn = tls.Client(conn, config)
	}
	return &client{conn, bufio.NewReader(conn)}
}

// raw is the request as bytes.
func (r *request) raw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.target, r.host)
	for _, f := range r.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	if r.body > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", r.body)
	}
	return b.String() + "\r\n" + strings.Repeat("x", r.body)
}
