package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func serve(t testing.TB, s *Server) string {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dialTo(addr string) func(context.Context) (net.Conn, error) {
	var d net.Dialer
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}

// client is a connection that says bytes and expects bytes.
type client struct {
	testing.TB
	net.Conn
	r *bufio.Reader
}

func connect(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) say(s string) *client {
	c.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.Fatalf("writing %.60q: %v", s, err)
	}
	return c
}

// hear reads one response, body included, as the text that the table expects.
func (c *client) hear(method string) string {
	c.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return "no response: " + errText(err)
	}
	return describe(res)
}

// rest reads to the end of the connection.
func (c *client) rest() string {
	c.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil && !isReset(err) {
		c.Fatalf("the connection did not end: %v after %.80q", err, b)
	}
	return string(b)
}

func isReset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe"))
}

func errText(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return "closed"
	case isReset(err):
		return "reset"
	}
	return err.Error()
}

// describe prints status, the fields that matter, body and trailers.
func describe(res *http.Response) string {
	body, err := io.ReadAll(res.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%d", res.StatusCode)
	var names []string
	for name := range res.Header {
		if name != "Date" && name != "Content-Length" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, " %s=%s", name, strings.Join(res.Header[name], ","))
	}
	if len(res.TransferEncoding) > 0 {
		b.WriteString(" chunked")
	}
	if res.Close {
		b.WriteString(" close")
	}
	fmt.Fprintf(&b, " %q", body)
	if err != nil {
		b.WriteString(" " + errText(err))
	}
	for name, values := range res.Trailer {
		fmt.Fprintf(&b, " trailer %s=%s", name, strings.Join(values, ","))
	}
	return b.String()
}

// echo answers with what the request was.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var bad *BodyError
		if errors.As(err, &bad) {
			w.Header().Set("X-Reason", bad.Reason)
			w.WriteHeader(bad.Status)
			return
		}
		w.WriteHeader(500)
		return
	}
	fmt.Fprintf(w, "%s %s|%s|%s", r.Method, r.RequestURI, r.Host, body)
	for name, values := range r.Trailer {
		fmt.Fprintf(w, "|trailer %s=%s", name, strings.Join(values, ","))
	}
}

// reasons puts the reason of a refusal where tests see it.
func reasons(h http.Header, _ *http.Request, e *ProtocolError) []byte {
	h.Set("X-Reason", e.Reason)
	return nil
}

// log collects what happened, from any goroutine.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// upstream is a scripted endpoint: f is run for each connection.
func upstream(t testing.TB, f func(c *client)) *Transport {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			go func() {
				defer func() { _ = c.Close() }()
				f(&client{t, c, bufio.NewReader(c)})
			}()
		}
	}()
	tr := &Transport{Dial: dialTo(l.Addr().String())}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// request reads one request as the upstream sees it; nil at the end.
func (c *client) request() *http.Request {
	r, err := http.ReadRequest(c.r)
	if err != nil {
		return nil
	}
	return r
}

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }
