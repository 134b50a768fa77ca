package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// A request to send, and the bytes that the upstream sees, with the fields in
// alphabetical order.
var outgoing = []struct {
	name string
	make func(r *http.Request)
	want string // or "error: ..." when it must not be written
}{
	{"plain", func(r *http.Request) {}, "GET / HTTP/1.1|Host: up"},
	{"target bytes", func(r *http.Request) { r.URL = parsed("/a%2Fb//c%41?x=%zz&|") }, "GET /a%2Fb//c%41?x=%zz&| HTTP/1.1|Host: up"},
	{"raw path that is stale", func(r *http.Request) { r.URL = &url.URL{Path: "/new path", RawPath: "/old%2f"} }, "GET /new%20path HTTP/1.1|Host: up"},
	{"opaque", func(r *http.Request) { r.URL = &url.URL{Opaque: "//a|b", RawQuery: "q"} }, "GET //a|b?q HTTP/1.1|Host: up"},
	{"empty query", func(r *http.Request) { r.URL = &url.URL{Path: "/", ForceQuery: true} }, "GET /? HTTP/1.1|Host: up"},
	{"star", func(r *http.Request) { r.Method, r.URL = "OPTIONS", &url.URL{Path: "*"} }, "OPTIONS * HTTP/1.1|Host: up"},
	{"no path", func(r *http.Request) { r.URL = &url.URL{} }, "GET / HTTP/1.1|Host: up"},
	{"space in opaque", func(r *http.Request) { r.URL = &url.URL{Opaque: "/a b"} }, "error: request"},
	{"line in the query", func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1\r\nX: y" }, "error: request"},
	{"fragment in opaque", func(r *http.Request) { r.URL = &url.URL{Opaque: "/a#b"} }, "error: request"},
	{"not a path", func(r *http.Request) { r.URL = &url.URL{Opaque: "a"} }, "error: request"},
	{"line in the method", func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX: y\r\n\r\nGET" }, "error: request"},
	{"connect", func(r *http.Request) { r.Method = "CONNECT" }, "error: request"},
	{"no host", func(r *http.Request) { r.Host = "" }, "error: request"},
	{"line in the host", func(r *http.Request) { r.Host = "a\r\nX: y" }, "error: request"},
	{"path in the host", func(r *http.Request) { r.Host = "a/b" }, "error: request"},
	{"line in a value", func(r *http.Request) { r.Header.Set("A", "b\r\nC: d") }, "error: request"},
	{"nul in a value", func(r *http.Request) { r.Header.Set("A", "b\x00") }, "error: request"},
	{"colon in a name", func(r *http.Request) { r.Header["A: b\r\nC"] = []string{"d"} }, "error: request"},
	{"empty name", func(r *http.Request) { r.Header[""] = []string{"d"} }, "error: request"},
	{"hop by hop", func(r *http.Request) {
		for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Content-Length", "Trailer", "Te", "Upgrade", "Http2-Settings", "Host", "Expect"} {
			r.Header.Set(name, "5")
		}
		r.Header["content-length"] = []string{"6"}
		r.Header.Set("Connection", "keep-alive, X-Named, close")
		r.Header.Set("X-Named", "1")
		r.Header.Set("X-Kept", "2")
	}, "GET / HTTP/1.1|Host: up|X-Kept: 2"},
	{"te trailers", func(r *http.Request) { r.Header.Set("Te", "gzip, trailers") }, "GET / HTTP/1.1|Connection: TE|Host: up|TE: trailers"},
	{"close", func(r *http.Request) { r.Close = true }, "GET / HTTP/1.1|Connection: close|Host: up"},
	{"values in order", func(r *http.Request) { r.Header["Cookie"] = []string{"b", "a"} }, "GET / HTTP/1.1|Cookie: b|Cookie: a|Host: up"},
	{"post nothing", func(r *http.Request) { r.Method = "POST" }, "POST / HTTP/1.1|Content-Length: 0|Host: up"},
	{"no body", func(r *http.Request) { r.Method, r.Body = "DELETE", http.NoBody }, "DELETE / HTTP/1.1|Host: up"},
	{"length", func(r *http.Request) { body(r, 5, "hello") }, "GET / HTTP/1.1|Content-Length: 5|Host: up||hello"},
	{"unknown length", func(r *http.Request) { body(r, -1, "hello") }, "GET / HTTP/1.1|Host: up|Transfer-Encoding: chunked||5\r\nhello\r\n0\r\n\r\n"},
	{"zero is unknown", func(r *http.Request) { body(r, 0, "hello") }, "GET / HTTP/1.1|Host: up|Transfer-Encoding: chunked||5\r\nhello\r\n0\r\n\r\n"},
	{"body longer than said", func(r *http.Request) { body(r, 5, "hello, and a request") }, "GET / HTTP/1.1|Content-Length: 5|Host: up||hello"},
	{"trailer", func(r *http.Request) {
		body(r, -1, "")
		r.Trailer = http.Header{"X-Sum": {"7"}, "Content-Length": {"9"}}
	}, "GET / HTTP/1.1|Host: up|Trailer: X-Sum|Transfer-Encoding: chunked||0\r\nX-Sum: 7\r\n\r\n"},
	{"large", func(r *http.Request) { body(r, 100000, strings.Repeat("x", 100000)) }, "GET / HTTP/1.1|Content-Length: 100000|Host: up||" + strings.Repeat("x", 100000)},
	{"upgrade", func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
	}, "GET / HTTP/1.1|Connection: Upgrade|Host: up|Upgrade: websocket"},
}

func parsed(s string) *url.URL {
	u, err := url.ParseRequestURI(s)
	if err != nil {
		panic(err)
	}
	return u
}

func body(r *http.Request, length int64, s string) {
	r.ContentLength, r.Body = length, io.NopCloser(strings.NewReader(s))
}

func newRequest() *http.Request {
	return &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Host: "up", Header: make(http.Header)}
}

func TestOutgoing(t *testing.T) {
	for _, c := range outgoing {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan string, 1)
			tr := upstream(t, func(c *client) { got <- c.rawRequest() })
			r := newRequest()
			c.make(r)
			res, err := tr.RoundTrip(r)
			if err == nil {
				_ = res.Body.Close()
				err = errors.New("none")
			}
			if want, bad := strings.CutPrefix(c.want, "error: "); bad {
				var e *Error
				if !errors.As(err, &e) || e.Op != want || e.Sent || tr.Stats().Dials > 0 {
					t.Errorf("%v %+v, want an error before anything is sent", err, e)
				}
				return
			}
			if got := <-got; got != c.want {
				t.Errorf("got  %.300q\nwant %.300q", got, c.want)
			}
		})
	}
}

// rawRequest reads a request, answers it, waits for the end of the connection
// and returns all bytes, with the fields sorted.
func (c *client) rawRequest() string {
	buf := make([]byte, 1<<20)
	n := 0
	for !complete(string(buf[:n])) {
		m, err := c.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	m, _ := io.ReadFull(c.Conn, buf[n:])
	head, rest, _ := strings.Cut(string(buf[:n+m]), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	sort.SliceStable(lines[1:], func(i, j int) bool {
		a, _, _ := strings.Cut(lines[1+i], ":")
		b, _, _ := strings.Cut(lines[1+j], ":")
		return a < b
	})
	out := strings.Join(lines, "|")
	if rest != "" {
		out += "||" + rest
	}
	return out
}

func complete(s string) bool {
	head, rest, ok := strings.Cut(s, "\r\n\r\n")
	switch {
	case !ok:
		return false
	case strings.Contains(head, "chunked"):
		return strings.HasSuffix(rest, "0\r\n\r\n") || strings.HasSuffix(rest, "\r\nX-Sum: 7\r\n\r\n")
	case strings.Contains(head, "Content-Length: 100000"):
		return len(rest) >= 100000
	case strings.Contains(head, "Content-Length: 5"):
		return len(rest) >= 5
	}
	return true
}

// What an upstream answers, what the caller gets, and whether the connection
// is kept ("kept") or closed.
var incoming = []struct {
	name, bytes, want string
}{
	{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", `200 "hi" kept`},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", `200 chunked "hi" kept`},
	{"trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-Sum: 7\r\n\r\n", `200 chunked "" trailer X-Sum=7 kept`},
	{"trailer not announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n", `200 chunked "" trailer X-Sum=7 kept`},
	{"to the end", "HTTP/1.1 200 OK\r\n\r\nhi", `200 close "hi" closed`},
	{"as many interim as may be", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", MaxInterim) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", strings.Repeat("103 , ", MaxInterim) + `200 "hi" kept`},
	{"unknown interim", "HTTP/1.1 150 What\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "malformed"},
	{"blanks after a chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0        \t         \r\n\r\n", `200 chunked "hi" kept`},
	{"no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", `200 "hi" kept`},
	{"no reason but space", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", `200 "hi" kept`},
	{"unusual status", "HTTP/1.1 999 Why\r\nContent-Length: 2\r\n\r\nhi", "malformed"},
	{"204", "HTTP/1.1 204 No Content\r\n\r\n", `204 "" kept`},
	{"204 with length", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", `204 close "" closed`},
	{"204 chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", `204 close "" closed`},
	{"304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", `304 "" kept`},
	{"close", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", `200 close "hi" closed`},
	{"of the connection", "HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nx-own: 1\r\nX-End: 2\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", `200 X-End=2 "" kept`},
	{"upgrade required", "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n", `426 Upgrade=x "" kept`},
	{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", `200 close "hi" closed`},
	{"1.0 keep-alive", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", `200 "hi" kept`},
	{"more than the length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", `200 "hi" closed`},
	{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", `103 a, 200 "hi" kept`},

	{"nothing", "", "read head"},
	{"no http", "SSH-2.0-OpenSSH\r\n", "malformed"},
	{"lower-case version", "http/1.1 200 OK\r\n\r\n", "malformed"},
	{"version 2", "HTTP/2.0 200 OK\r\n\r\n", "malformed"},
	{"short status", "HTTP/1.1 20 OK\r\n\r\n", "malformed"},
	{"long status", "HTTP/1.1 2000 OK\r\n\r\n", "malformed"},
	{"status with letter", "HTTP/1.1 20x OK\r\n\r\n", "malformed"},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", "malformed"},
	{"lf lines", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "malformed"},
	{"cr in a value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "malformed"},
	{"nul in a value", "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", "malformed"},
	{"obs-fold", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "malformed"},
	{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi", "malformed"},
	{"length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "malformed"},
	{"length list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", "malformed"},
	{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", "malformed"},
	{"unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "malformed"},
	{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"},
	{"coding on 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"},
	{"trailer of framing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", "malformed"},
	{"101 not asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "malformed"},
	{"endless interim", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", MaxInterim+1), "malformed"},
	{"large head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 70<<10), "malformed"},
	{"many fields", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 129) + "\r\n", "malformed"},
	{"cut head", "HTTP/1.1 200 OK\r\nContent-Le", "read head"},

	{"cut body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", `200 "hi" read body closed`},
	{"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", `200 chunked "hi" read body closed`},
	{"cut before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", `200 chunked "hi" read body closed`},
	{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n", `200 chunked "hi" malformed closed`},
}

func TestIncoming(t *testing.T) {
	for _, c := range incoming {
		t.Run(c.name, func(t *testing.T) {
			tr := upstream(t, func(up *client) {
				if up.request() == nil {
					return
				}
				up.say(c.bytes)
				if !strings.HasSuffix(c.want, "kept") {
					_ = closeWrite(up.Conn)
				}
				_, _ = up.r.ReadByte() // until the transport closes
			})
			if got := roundTripText(t, tr); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// roundTripText sends a GET and tells what came back.
func roundTripText(t *testing.T, tr *Transport) string {
	var interim string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			interim += http.StatusText(code)[:0] + "103 " + h.Get("Link") + ", "
			return nil
		}})
	res, err := tr.RoundTrip(newRequest().WithContext(ctx))
	if err != nil {
		return opOf(t, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	text := interim + describe(res)
	if err != nil {
		text += " " + opOf(t, err)
	}
	if tr.Stats().Idle == 1 {
		return text + " kept"
	}
	return text + " closed"
}

func opOf(t *testing.T, err error) string {
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T %v is not an *Error", err, err)
	}
	return e.Op
}

func TestErrorsTellWhatHappened(t *testing.T) {
	refusing := listen(t)
	_ = refusing.Close()
	tr := &Transport{Dial: dialTo(refusing.Addr().String())}
	if e := roundTripError(t, tr, newRequest(), nil); e.Op != "dial" || e.Sent || e.Received {
		t.Errorf("refused: %+v", e)
	}
	tr = upstream(t, func(up *client) { up.request() })
	if e := roundTripError(t, tr, newRequest(), nil); e.Op != "read head" || !e.Sent || e.Received {
		t.Errorf("closed without an answer: %+v", e)
	}
	tr = upstream(t, func(up *client) { up.request(); up.say("HTTP/1.1 2") })
	if e := roundTripError(t, tr, newRequest(), nil); e.Op != "read head" || !e.Sent || !e.Received {
		t.Errorf("closed within the head: %+v", e)
	}
	tr = upstream(t, func(up *client) { up.request(); up.request() })
	if e := roundTripError(t, tr, newRequest(), &Call{Timeouts: Timeouts{FirstByte: 10 * time.Millisecond}}); !e.Timeout() || e.Op != "read head" {
		t.Errorf("no answer in time: %+v", e)
	}
	tr = &Transport{Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}
	if e := roundTripError(t, tr, newRequest(), &Call{Timeouts: Timeouts{Connect: time.Millisecond}}); !e.Timeout() || e.Op != "dial" || e.Sent {
		t.Errorf("no connection in time: %+v", e)
	}
	_ = tr.Close()
	if e := roundTripError(t, tr, newRequest(), nil); !errors.Is(e, ErrClosed) {
		t.Errorf("closed: %+v", e)
	}
}

func roundTripError(t *testing.T, tr *Transport, r *http.Request, call *Call) *Error {
	t.Helper()
	res, err := tr.RoundTripWith(r, call)
	if err == nil {
		_ = res.Body.Close()
		t.Fatal("no error")
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T %v", err, err)
	}
	return e
}

func get(t testing.TB, tr *Transport) string {
	t.Helper()
	res, err := tr.RoundTrip(newRequest())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	return describe(res)
}

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

func TestDeadConnectionsAreFound(t *testing.T) {
	closed := make(chan struct{}, 9)
	for name, end := range map[string]func(*client){
		"closed":           func(c *client) { _ = c.Close() },
		"unexpected bytes": func(c *client) { c.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") },
	} {
		tr := upstream(t, func(up *client) {
			up.request()
			up.say(okResponse)
			end(up)
			closed <- struct{}{}
			up.request()
		})
		for range 3 {
			if got := get(t, tr); got != `200 "hi"` {
				t.Fatalf("%s: %s", name, got)
			}
			<-closed
			if conn, _ := tr.pop(); conn != nil {
				eventually(t, "the end is seen", func() bool { return conn.wire.state() != sock.Quiet })
				tr.put(conn)
				time.Sleep(time.Duration(trusted)) // after which it is looked at
			}
		}
		if s := tr.Stats(); s.Dials != 3 || s.Reused != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestPoolLimits(t *testing.T) {
	keep := func(up *client) {
		for up.request() != nil {
			up.say(okResponse)
		}
	}
	tr := upstream(t, keep)
	tr.MaxRequestsPerConn = 2
	for range 4 {
		get(t, tr)
	}
	if s := tr.Stats(); s.Dials != 2 {
		t.Errorf("requests per connection: %+v", s)
	}
	tr = upstream(t, keep)
	tr.MaxLife = time.Nanosecond
	get(t, tr)
	if s := tr.Stats(); s.Idle != 0 || s.Open != 0 {
		t.Errorf("life: %+v", s)
	}
	tr = upstream(t, keep)
	tr.IdleTimeout = 20 * time.Millisecond
	get(t, tr)
	eventually(t, "idle connections are closed", func() bool { return tr.Stats().Open == 0 })
	tr = upstream(t, keep)
	tr.MaxIdle, tr.MaxConns = -1, 1
	first, err := tr.RoundTrip(newRequest())
	if err != nil {
		t.Fatal(err)
	}
	if e := roundTripError(t, tr, newRequest(), nil); !errors.Is(e, ErrTooManyConns) || e.Op != "limit" {
		t.Errorf("connections: %+v", e)
	}
	_ = first.Body.Close()
	if s := tr.Stats(); s.Idle != 0 || s.Open != 0 {
		t.Errorf("no idle connections wanted: %+v", s)
	}
}

func TestCloseEndsIdleAndLetsRequestsFinish(t *testing.T) {
	answer := make(chan struct{})
	tr := upstream(t, func(up *client) {
		for up.request() != nil {
			up.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
			<-answer
			up.say("i")
		}
	})
	res, err := tr.RoundTrip(newRequest())
	if err != nil {
		t.Fatal(err)
	}
	_ = tr.Close()
	close(answer)
	if got := describe(res); got != `200 "hi"` {
		t.Error(got)
	}
	_ = res.Body.Close()
	_ = res.Body.Close() // twice is harmless
	if s := tr.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

func TestResponseIsValidUntilClosed(t *testing.T) {
	tr := upstream(t, func(up *client) {
		for up.request() != nil {
			up.say("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi")
		}
	})
	one, _ := tr.RoundTrip(newRequest())
	_, _ = io.Copy(io.Discard, one.Body)
	two, _ := tr.RoundTrip(newRequest()) // on the same connection
	if one.Header.Get("X-A") != "b" || tr.Stats().Dials != 1 {
		t.Error("the first response changed before it was closed")
	}
	_ = one.Body.Close()
	if two.Header.Get("X-A") != "b" || one.Header != nil || one.StatusCode != 200 {
		t.Error("closing one response changed the other")
	}
	_ = two.Body.Close()
	if _, err := one.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Error(err)
	}
}

// A caller's own room holds one response after the other, and nothing of the
// one before.
func TestResponseInTheCallersRoom(t *testing.T) {
	tr := upstream(t, func(up *client) {
		for _, answer := range []string{
			"HTTP/1.1 201 Created\r\nX-A: b\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: t\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho",
		} {
			if up.request() != nil {
				up.say(answer)
			}
		}
	})
	call := &Call{Answer: &Answer{}}
	one, err := tr.RoundTripWith(newRequest(), call)
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(one); got != `201 X-A=b chunked "hi" trailer X-T=t` {
		t.Error(got)
	}
	_ = one.Body.Close()
	_ = one.Body.Close() // still harmless
	two, err := tr.RoundTripWith(newRequest(), call)
	if err != nil {
		t.Fatal(err)
	}
	if two != one || two.Trailer != nil || two.TransferEncoding != nil || tr.Stats().Dials != 1 {
		t.Errorf("%+v", two)
	}
	if got := describe(two); got != `200 "ho"` {
		t.Error(got)
	}
	_ = two.Body.Close()
}

func TestCancellation(t *testing.T) {
	begun := make(chan struct{}, 4)
	tr := upstream(t, func(up *client) {
		if up.request() != nil {
			begun <- struct{}{}
			up.request()
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-begun; cancel() }()
	if e := roundTripError(t, tr, newRequest().WithContext(ctx), nil); e.Op != "canceled" || !errors.Is(e, context.Canceled) || !e.Sent {
		t.Errorf("%+v", e)
	}
	if e := roundTripError(t, tr, newRequest().WithContext(ctx), nil); !errors.Is(e, context.Canceled) || e.Sent {
		t.Errorf("canceled before: %+v", e)
	}
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if e := roundTripError(t, tr, newRequest().WithContext(short), nil); !errors.Is(e, context.DeadlineExceeded) || !e.Timeout() {
		t.Errorf("%+v", e)
	}
}

func TestCancellationWhileReadingTheBody(t *testing.T) {
	tr := upstream(t, func(up *client) {
		up.request()
		up.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
		up.request()
	})
	ctx, cancel := context.WithCancel(context.Background())
	res, err := tr.RoundTrip(newRequest().WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	time.AfterFunc(5*time.Millisecond, cancel)
	if _, err = io.ReadAll(res.Body); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCloseWhileReading(t *testing.T) {
	tr := upstream(t, func(up *client) {
		up.request()
		up.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
		up.request()
	})
	res, err := tr.RoundTrip(newRequest())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := io.ReadAll(res.Body); done <- err }()
	time.Sleep(time.Millisecond)
	_ = res.Body.Close()
	if err := <-done; err == nil {
		t.Error("the read did not fail")
	}
}
