package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// events is an Observer that keeps what it is told.
type events struct {
	mu         sync.Mutex
	opened     map[string]int
	refused    map[string]int
	handshakes chan string
	http2      chan string
	headers    chan string // of PROXY protocol
}

func newEvents() *events {
	return &events{opened: map[string]int{}, refused: map[string]int{}, handshakes: make(chan string, 10_000), http2: make(chan string, 10_000), headers: make(chan string, 100)}
}

func (e *events) ConnectionOpened(listener string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opened[listener]++
}
func (e *events) ConnectionRefused(listener string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused[listener]++
}
func (e *events) HandshakeDone(result string) { e.handshakes <- result }
func (e *events) ProxyHeader(result string)   { e.headers <- result }
func (e *events) HTTP2Error(kind string)      { e.http2 <- kind }

// running is a Server that serves on loopback until the test ends.
type running struct {
	*Server
	http, https string // addresses
	events      *events
	logs        *observer.ObservedLogs
}

func start(t *testing.T, handler http.HandlerFunc, change ...func(*Options)) *running {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	r := &running{events: newEvents(), logs: logs}
	o := Options{
		Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0"}, Handler: handler, Observer: r.events, Log: zap.New(core),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if r.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	r.http, r.https = r.Plain()[0].String(), r.Secure()[0].String()
	served := make(chan error, 1)
	go func() { served <- r.Serve() }()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// client is an HTTP client that trusts any certificate.
func client(t *testing.T, protocols ...string) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, NextProtos: protocols},
		Protocols:         new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	transport.Protocols.SetHTTP2(len(protocols) == 0 || protocols[0] == "h2")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// until waits for a condition that becomes true soon without telling anybody.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// tell answers with what the handler sees of the connection.
func tell(w http.ResponseWriter, r *http.Request) {
	name := "none"
	if r.TLS != nil {
		name = r.TLS.ServerName
	}
	fmt.Fprintf(w, "%s tls=%s host=%s", r.Proto, name, r.Host)
}

func TestProtocols(t *testing.T) {
	s := start(t, tell)
	cases := []struct {
		about, url, want string
		protocols        []string
	}{
		{"plain", "http://" + s.http, "HTTP/1.1 tls=none host=" + s.http, nil},
		{"HTTP/2 by ALPN", "https://" + s.https, "HTTP/2.0 tls= host=" + s.https, nil},
		{"HTTP/1.1 by ALPN", "https://" + s.https, "HTTP/1.1 tls= host=" + s.https, []string{"http/1.1"}},
	}
	for _, c := range cases {
		if _, got := get(t, client(t, c.protocols...), c.url); got != c.want {
			t.Errorf("%s: got %q, want %q", c.about, got, c.want)
		}
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	if s.events.opened["http"] != 1 || s.events.opened["https"] != 2 {
		t.Errorf("connections opened: %v", s.events.opened)
	}
}

// A client without ALPN speaks HTTP/1.1, and keeps the connection.
func TestNoALPN(t *testing.T) {
	s := start(t, tell)
	conn, err := tls.Dial("tcp", s.https, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != "HTTP/1.1 tls=shop.example.com host=a.example.com" {
			t.Errorf("got %q", body)
		}
	}
}

func TestBothFamilies(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Plain = []string{":0"} })
	_, port, _ := net.SplitHostPort(s.http)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if host == "[::1]" {
			probe, err := net.Listen("tcp", "[::1]:0")
			if err != nil {
				t.Skip("no IPv6 here:", err)
			}
			probe.Close()
		}
		if _, got := get(t, client(t), "http://"+host+":"+port); !strings.HasPrefix(got, "HTTP/1.1") {
			t.Errorf("%s: got %q", host, got)
		}
	}
}

func TestListenTellsTheAddress(t *testing.T) {
	s := start(t, tell)
	other, err := New(Options{Handler: http.NotFoundHandler(), Plain: []string{"127.0.0.1:0", s.http}})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Listen()
	if err == nil || !strings.Contains(err.Error(), s.http) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	if len(other.Plain()) != 0 {
		t.Error("the first address is still bound")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no handler was accepted")
	}
	if _, err := New(Options{Handler: http.NotFoundHandler(), Secure: []string{":0"}}); err == nil {
		t.Error("HTTPS without TLS was accepted")
	}
}

func TestPanics(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) { panic("out of cheese") })
	if resp, _ := get(t, client(t), "http://"+s.http); resp.StatusCode != 500 {
		t.Errorf("HTTP/1.1: got %d", resp.StatusCode)
	}
	if resp, err := client(t).Get("https://" + s.https); err == nil {
		resp.Body.Close()
		t.Errorf("HTTP/2: got %d", resp.StatusCode)
	}
	logged := s.logs.FilterLevelExact(zapcore.ErrorLevel).FilterField(zap.String("path", "/")).All()
	if len(logged) != 2 || logged[1].ContextMap()["panic"] != "out of cheese" {
		t.Errorf("%d errors in the log, want 2", len(logged))
	}
}

// failing is a socket whose accept fails for a while, as when file descriptors run out.
type failing struct {
	socket
	failures int
}

func (f *failing) AcceptTCP() (*net.TCPConn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.socket.AcceptTCP()
}

func TestAcceptFailuresAreOutlived(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	s, err := New(Options{Handler: http.HandlerFunc(tell), Plain: []string{"127.0.0.1:0"}, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.listeners[0].socket = &failing{s.listeners[0].socket, 3}
	go s.Serve()
	defer s.Close()
	if _, got := get(t, client(t), "http://"+s.Plain()[0].String()); !strings.HasPrefix(got, "HTTP/1.1") {
		t.Errorf("got %q", got)
	}
	waits := logs.FilterMessageSnippet("accept failed").All()
	if len(waits) != 3 || waits[2].ContextMap()["in"] != 20*time.Millisecond {
		t.Errorf("log: %v", waits)
	}
}

// A stop ends the wait for better times.
func TestAcceptFailureAndStop(t *testing.T) {
	s, err := New(Options{Handler: http.HandlerFunc(tell), Plain: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.listeners[0].socket = &failing{s.listeners[0].socket, 1 << 30}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	if err := s.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestConnectionsByState(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-leave
		}
	})
	states := func() map[string]int64 {
		m := map[string]int64{}
		s.Connections(func(listener, state string, n int64) { m[listener+" "+state] = n })
		return m
	}
	expect := func(what string, want map[string]int64) {
		t.Helper()
		until(t, what+fmt.Sprint(want), func() bool {
			got := states()
			for k, v := range got {
				if want[k] != v {
					return false
				}
			}
			return true
		})
	}
	h1, h2 := client(t, "http/1.1"), client(t)
	get(t, h1, "http://"+s.http)
	get(t, h2, "https://"+s.https)
	expect("both idle", map[string]int64{"http idle": 1, "https idle": 1})

	var requests sync.WaitGroup
	for c, url := range map[*http.Client]string{h1: "http://" + s.http, h2: "https://" + s.https} {
		requests.Go(func() { get(t, c, url+"/wait") })
		<-entered
	}
	silent, err := net.Dial("tcp", s.https)
	if err != nil {
		t.Fatal(err)
	}
	expect("both active, one in its handshake", map[string]int64{"http active": 1, "https active": 1, "https handshake": 1})
	silent.Close()
	close(leave)
	requests.Wait()
	expect("idle again", map[string]int64{"http idle": 1, "https idle": 1})
	h1.CloseIdleConnections()
	h2.CloseIdleConnections()
	expect("none left", nil)
}

// TestRedirector: further addresses have a handler of their own, also for connections that come while a drain has begun.
func TestRedirector(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, func(o *Options) {
		o.Redirect = []string{"127.0.0.1:0"}
		o.Redirector = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	})
	at := s.Redirect()[0].String()
	if resp, _ := get(t, client(t), "http://"+at); resp.StatusCode != http.StatusTeapot {
		t.Errorf("status %d from the redirector's address, want 418", resp.StatusCode)
	}
	if resp, _ := get(t, client(t), "http://"+s.http); resp.StatusCode != http.StatusNoContent {
		t.Errorf("status %d from the handler's, want 204", resp.StatusCode)
	}
	s.mu.Lock()
	close(s.stopping)
	s.stopped = true
	s.mu.Unlock()
	if resp, _ := get(t, client(t), "http://"+at); resp.StatusCode != http.StatusTeapot {
		t.Errorf("status %d during a drain, want 418", resp.StatusCode)
	}
	if _, err := New(Options{Handler: http.NotFoundHandler(), Redirect: []string{"127.0.0.1:0"}}); err == nil {
		t.Error("addresses for redirects are accepted without a handler")
	}
}
