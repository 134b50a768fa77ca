package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/http2"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a proxy behind real listeners, with the records of what it did.
type rig struct {
	t      *testing.T
	live   *route.Live
	pool   *pool.Pool
	proxy  *proxy.Proxy
	plain  string // address for HTTP/1.1
	secure string // and for TLS, with HTTP/2
	log    *recorder
}

// newRig starts a proxy for a table.
func newRig(t *testing.T, table *route.Table) *rig {
	t.Helper()
	return newRigWith(t, table, pool.Options{AllowLoopback: true})
}

func newRigWith(t *testing.T, table *route.Table, o pool.Options) *rig {
	t.Helper()
	r := &rig{t: t, live: &route.Live{}, pool: pool.New(o), log: &recorder{}}
	r.proxy = proxy.New(proxy.Options{Tables: r.live, Pool: r.pool, Observer: r.log, Log: r.log})
	if table != nil {
		r.swap(table)
	}
	r.listenPlain()
	r.listenTLS()
	t.Cleanup(func() {
		r.proxy.Tunnels().CloseAll()
		r.pool.Close()
	})
	return r
}

func (r *rig) swap(table *route.Table) {
	r.proxy.Prepare(table)
	r.live.Swap(table)
	r.proxy.Settle()
}

func (r *rig) listenPlain() {
	l := listen(r.t)
	r.plain = l.Addr().String()
	s := &http1.Server{Handler: r.proxy}
	r.serve(func() { _ = s.Serve(l) }, func() { stop(s) })
}

func stop(s *http1.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.Shutdown(ctx)
	_ = s.Close()
}

// listenTLS serves HTTP/1.1 and HTTP/2 over TLS.
func (r *rig) listenTLS() {
	l := listen(r.t)
	r.secure = l.Addr().String()
	one := &http1.Server{Handler: r.proxy}
	two := &http2.Server{Handler: r.proxy}
	config := &tls.Config{Certificates: []tls.Certificate{certificate(r.t)}, NextProtos: []string{"h2", "http/1.1"}}
	var conns sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	r.serve(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				conns.Wait()
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			conns.Go(func() {
				conn := tls.Server(c, config)
				if conn.Handshake() != nil {
					_ = c.Close()
					return
				}
				if conn.ConnectionState().NegotiatedProtocol == "h2" {
					two.ServeConn(conn)
					return
				}
				one.ServeConn(conn)
			})
		}
	}, func() {
		_ = l.Close()
		stop(one)
		mu.Lock() // a client whose stream was just cancelled keeps its HTTP/2 connection
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
}

func (r *rig) serve(run, end func()) {
	done := make(chan struct{})
	go func() { defer close(done); run() }()
	r.t.Cleanup(func() { end(); <-done })
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// certificate is the one that httptest has.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
}

// recorder keeps copies of records.
type recorder struct {
	mu      sync.Mutex
	records []proxy.Record
	picks   []string
	retries []policy.Reason

	mirrored []string
	ejected  int
}

func (c *recorder) Picked(_ *route.Backend, e *pool.Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.picks = append(c.picks, e.Address())
}

func (c *recorder) Retried(_ *route.Backend, after policy.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retries = append(c.retries, after)
}

func (c *recorder) Ejected(*route.Backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ejected++
}

func (c *recorder) Mirrored(outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mirrored = append(c.mirrored, outcome)
}

func (c *recorder) Done(*proxy.Record) {}

func (c *recorder) Streamed(string, *proxy.Record) {}

func (c *recorder) Log(r *proxy.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := *r
	kept.Request = nil
	kept.Tries = append([]proxy.Try(nil), r.Tries...)
	c.records = append(c.records, kept)
}

// record waits for the n-th record, counted from one, and returns it.
func (r *rig) record(n int) proxy.Record {
	r.t.Helper()
	var got proxy.Record
	eventually(r.t, func() bool {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		if len(r.log.records) >= n {
			got = r.log.records[n-1]
			return true
		}
		return false
	})
	return got
}

func (r *rig) retries() []policy.Reason {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return append([]policy.Reason(nil), r.log.retries...)
}

// eventually waits for a condition.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("waited 10 s in vain")
		}
		time.Sleep(time.Millisecond)
	}
}

// tableOf makes a table with one host, "app.test", whose path "/" goes to the given addresses. Options change it.
func tableOf(addresses []string, options ...func(*route.Table, *route.Route)) *route.Table {
	backend := backendOf("demo/app:80", addresses...)
	set := policy.Default()
	rt := &route.Route{
		Host: "app.test", Path: "/", Type: route.Prefix, Policy: set,
		Ingress: policy.Ref{Kind: "Ingress", Namespace: "demo", Name: "app"},
	}
	table := &route.Table{Generation: 1, Backends: []*route.Backend{backend}, Policy: set}
	host := &route.Host{Name: "app.test"}
	for _, o := range options {
		o(table, rt)
	}
	host.Paths = route.NewPaths([]*route.Route{rt})
	table.Hosts = route.NewHosts([]*route.Host{host})
	return table
}

func backendOf(name string, addresses ...string) *route.Backend {
	b := &route.Backend{Name: name, Namespace: "demo", Service: "app", Port: "80"}
	for _, a := range addresses {
		e := route.Endpoint{Ready: true, Serving: true}
		if addr, err := netip.ParseAddrPort(a); err == nil {
			e.Addr = addr
		} else {
			e.Name = a
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b
}

// with changes the settings.
func with(change func(*policy.Set)) func(*route.Table, *route.Route) {
	return func(t *route.Table, r *route.Route) {
		set := *r.Policy
		change(&set)
		r.Policy, t.Policy = &set, &set
	}
}

// app starts an application and returns its address.
func app(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// raw starts a TCP server that runs f once for each connection.
func raw(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	var running sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// readHead reads a request's head off a connection.
func readHead(c net.Conn) (string, *bufio.Reader) {
	r := bufio.NewReader(c)
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), r
		}
	}
}

// nowhere is an address where nobody listens, and nobody else can meanwhile: a socket that is bound and no more.
func nowhere(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// echo answers with the request's head as the application sees it.
func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	_ = r.Header.Write(w)
}

// exchange sends bytes to the proxy and reads one response, with its body.
func (r *rig) send(request string) (*http.Response, string) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		r.t.Fatal(err)
	}
	return readResponse(r.t, bufio.NewReader(conn), strings.HasPrefix(request, "HEAD "))
}

func readResponse(t *testing.T, from *bufio.Reader, head bool) (*http.Response, string) {
	t.Helper()
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	res, err := http.ReadResponse(from, req)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Logf("body of %s: %v after %d bytes", res.Status, err, len(body))
	}
	return res, string(body)
}

// get asks for a path of app.test, with more header lines.
func (r *rig) get(path string, lines ...string) (*http.Response, string) {
	r.t.Helper()
	return r.send("GET " + path + " HTTP/1.1\r\nHost: app.test\r\n" + strings.Join(append(lines, "Connection: close\r\n\r\n"), "\r\n"))
}

// client is an HTTP client for the TLS side; h2 makes it speak HTTP/2.
func (r *rig) client(h2 bool) *http.Client {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", r.secure)
		},
	}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("want %q in:\n%s", p, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("do not want %q in:\n%s", p, text)
		}
	}
}

func status(t *testing.T, res *http.Response, code int, reason policy.Reason) {
	t.Helper()
	if res.StatusCode != code || res.Header.Get("X-Usher-Reason") != string(reason) {
		t.Errorf("got %d %q, want %d %q", res.StatusCode, res.Header.Get("X-Usher-Reason"), code, reason)
	}
}
