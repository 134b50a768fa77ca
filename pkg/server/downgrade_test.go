package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/usher-ingress/usher/pkg/http1"
)

// An HTTP/1.1 application behind us reads what we write. Whatever an HTTP/2 client says, it must be one request there, the one that we
// took it for, or none: that is all the difference between a proxy and a way to smuggle requests.

// witness is such an application. It keeps what it was sent, byte by byte.
type witness struct {
	net.Listener
	mu   sync.Mutex
	sent bytes.Buffer
	// Connections to it that were made and that have ended, and requests that were taken up and have ended.
	dialed, served, taken, done atomic.Int64
	took                        atomic.Pointer[http.Request] // the last of them, as the handler has seen it
	transport                   *http1.Transport
}

// rests reports whether all is over that has begun.
func (w *witness) rests() bool {
	w.transport.CloseIdleConnections() // one on which nothing was sent is kept
	return w.taken.Load() == w.done.Load() && w.dialed.Load() == w.served.Load()
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{Listener: l}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { w.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	return w
}

// serve answers one request on each connection, after it has read its body.
func (w *witness) serve(conn net.Conn) {
	defer w.served.Add(1)
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, w)))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	}
}

func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent.Write(p)
}

// acquire returns what was sent since it was last asked.
func (w *witness) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.sent.Reset()
	return w.sent.String()
}

// forward is the least a proxy does: the request as it came, to the witness.
func forward(t *testing.T, to *witness) http.HandlerFunc {
	to.transport = &http1.Transport{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(context.WithoutCancel(ctx), "tcp", to.Addr().String()) // or it may be made and not counted
		if err == nil {
			to.dialed.Add(1)
		}
		return conn, err
	}}
	t.Cleanup(func() { _ = to.transport.Close() })
	return func(w http.ResponseWriter, r *http.Request) {
		to.taken.Add(1)
		defer to.done.Add(1)
		to.took.Store(&http.Request{Method: r.Method, RequestURI: r.RequestURI, Host: r.Host})
		out := *r
		path, query, _ := strings.Cut(r.RequestURI, "?")
		out.URL = &url.URL{Scheme: "http", Host: r.Host, Opaque: path, RawQuery: query}
		out.RequestURI = ""
		response, err := to.transport.RoundTrip(&out)
		if err != nil {
			var bad *http1.BodyError
			if !errors.As(err, &bad) && r.Context().Err() == nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			panic(http.ErrAbortHandler)
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}
}

// downgrade is what a client says on one stream.
type downgrade struct {
	about   string
	fields  []string // besides or instead of the usual ones, see said
	body    string
	trailer []string
}

func downgrades() []downgrade {
	const smuggled = "\r\n\r\nGET /admin HTTP/1.1\r\nHost: admin.example.com\r\n\r\n"
	cases := []downgrade{{about: "nothing special"}, {about: "a body", body: "hello"}, {about: "a body that looks like a request", body: smuggled[4:]}}
	for _, bad := range []string{"\r", "\n", "\r\n", "\x00", smuggled, "\r\nX-Injected: 1", "\r\n Folded: 1", "\x0b", "\x7f"} {
		for _, at := range []string{":method", ":path", ":authority", ":scheme", "x-value", "host", "cookie", "te", "content-length", "user-agent"} {
			cases = append(cases, downgrade{about: at, fields: []string{at, "/a" + bad + "b"}}, downgrade{about: at + " at the end", fields: []string{at, "GET" + bad}})
		}
		cases = append(cases, downgrade{about: "a name", fields: []string{"x" + bad + "y", "1"}}, downgrade{about: "a trailer", body: "x", trailer: []string{"x-value", "a" + bad}},
			downgrade{about: "a trailer's name", body: "x", trailer: []string{"x" + bad, "a"}})
	}
	for _, field := range []string{
		"transfer-encoding: chunked", "transfer-encoding: identity", "transfer-encoding:", "connection: close", "connection: content-length", "connection: transfer-encoding",
		"keep-alive: timeout=5", "proxy-connection: keep-alive", "upgrade: h2c", "upgrade: websocket", "te: gzip", "te: trailers, chunked", "te:", "http2-settings: AAMAAABkAAQAAP__",
		"content-length: 5", "content-length: 0", "content-length: +3", "content-length: -1", "content-length: 3, 3", "content-length: 0x3", "content-length: 3 ", "content-length:",
		"content-length: 99999999999999999999", "content-length: 3;", "content_length: 3", "transfer_encoding: chunked", "expect: 100-continue", "expect: 200-ok",
		"host: other.example.com", "host:", "host: a.example.com, b", "proxy: evil", "x-value: caf\xc3\xa9", "Transfer-Encoding: chunked", "transfer-encoding : chunked", "transfer-encoding\t: chunked",
		": chunked", "x:y: 1", "x y: 1", ":path: /other", ":status: 200", ":unknown: 1", "x\"y: 1", "x(y: 1",
	} {
		i := strings.Index(field[1:], ":") + 1
		name, value := field[:i], strings.TrimPrefix(field[i+1:], " ")
		cases = append(cases, downgrade{about: field, fields: []string{name, value}}, downgrade{about: field + ", with a body", fields: []string{name, value}, body: "abc"},
			downgrade{about: field + ", in the trailer", body: "abc", trailer: []string{name, value}})
	}
	for _, method := range []string{"get", "GET /admin HTTP/1.1", "CONNECT", "TRACE", "GE T", "GET\t", "", "PRI", "PROXY", "G\xc3\x89T", "POST:"} {
		cases = append(cases, downgrade{about: "method " + method, fields: []string{":method", method}})
	}
	for _, path := range []string{"", "*", "admin", "http://other.example.com/", "//other.example.com/", "/a b", "/a\tb", "/ HTTP/1.1", "/a#b", "/%", "/%zz", "/%00", "/\\..\\", "/a?b c", "/a?b#c", "?a", "/\xff"} {
		cases = append(cases, downgrade{about: "path " + path, fields: []string{":path", path}})
	}
	for _, host := range []string{"", "a b", "a@b", "a/b", "a:b", "a:99999", "a,b", "[::1", "[fe80::1%25eth0]", "a\\b", "a?b", "a#b", "a%20b", "\xe4\xb8\xad"} {
		cases = append(cases, downgrade{about: "authority " + host, fields: []string{":authority", host}})
	}
	return cases
}

// said is the head: the usual pseudo-fields, of which a case replaces some.
func (d *downgrade) said() []string {
	usual := []string{":method", "POST", ":scheme", "https", ":path", "/a", ":authority", "shop.example.com"}
	if len(d.fields) == 2 {
		for i := 0; i < len(usual); i += 2 {
			if usual[i] == d.fields[0] && !strings.HasPrefix(d.about, ":path: ") {
				usual[i+1] = d.fields[1]
				return usual
			}
		}
	}
	return append(usual, d.fields...)
}

func TestDowngrade(t *testing.T) {
	app := newWitness(t)
	s := start(t, forward(t, app))
	for _, d := range downgrades() {
		raw := dialHTTP2(t, s.https)
		raw.framer.AllowIllegalWrites = true
		raw.head(1, d.body == "" && d.trailer == nil, d.said()...)
		if d.body != "" {
			raw.must(raw.framer.WriteData(1, d.trailer == nil, []byte(d.body)))
		}
		if d.trailer != nil {
			raw.head(1, true, d.trailer...)
		}
		status, detail := raw.outcome()
		raw.conn.Close()
		until(t, "the request is over: "+d.about, func() bool { return s.http2.Stats().Open == 0 && app.rests() })
		checkDowngrade(t, d, app.take(), status+" "+detail, app.took.Load())
	}
}

// checkDowngrade reads what the application was sent as strictly as any would, and as leniently.
func checkDowngrade(t *testing.T, d downgrade, sent, outcome string, took *http.Request) {
	t.Helper()
	if sent == "" {
		if strings.HasPrefix(outcome, "2") {
			t.Errorf("%q: %s, and nothing was sent", d.about, outcome)
		}
		return
	}
	in := bufio.NewReader(strings.NewReader(sent))
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Errorf("%q: %q is no request: %v", d.about, sent, err)
		return
	}
	if r.Method != took.Method || r.RequestURI != took.RequestURI || r.Host != took.Host {
		t.Errorf("%q: %s %s of %s became %s %s of %s", d.about, took.Method, took.RequestURI, took.Host, r.Method, r.RequestURI, r.Host)
	}
	body, err := io.ReadAll(r.Body)
	if whole := strings.HasPrefix(outcome, "2"); whole && (err != nil || string(body) != d.body) {
		t.Errorf("%q: the body %q became %q, %v", d.about, d.body, body, err)
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		t.Errorf("%q: %q follows the request", d.about, rest)
	}
	head, _, _ := strings.Cut(sent, "\r\n\r\n")
	if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") || strings.Contains(sent, "X-Injected") {
		t.Errorf("%q: the head is %q", d.about, head)
	}
	if r.Header.Get("Content-Length") != "" && len(r.TransferEncoding) > 0 || strings.Count(strings.ToLower(head), "\nhost:") != 1 {
		t.Errorf("%q: two framings, or not one Host: %q", d.about, head)
	}
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Upgrade", "Http2-Settings", "Proxy", "Content_length", "Transfer_encoding"} {
		if r.Header.Get(name) != "" {
			t.Errorf("%q: %s was sent", d.about, name)
		}
	}
}

// outcome reads until stream 1 or the connection ends.
func (c *rawHTTP2) outcome() (status, detail string) {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return "EOF", err.Error()
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			return "GOAWAY", f.ErrCode.String()
		case *http2.RSTStreamFrame:
			return "RST", f.ErrCode.String()
		case *http2.MetaHeadersFrame:
			if status = f.PseudoValue("status"); f.StreamEnded() {
				return status, ""
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return status, string(f.Data())
			}
		}
	}
}
