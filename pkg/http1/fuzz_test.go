package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// seeds adds the cases of the tables and the files of testdata/seeds, each a
// stream of bytes from one side, to a corpus.
func seeds(f *testing.F, dir string) {
	for _, c := range refused {
		f.Add([]byte(c.bytes))
	}
	for _, c := range served {
		f.Add([]byte(c.bytes))
	}
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds in testdata/"+dir, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name) //nolint:gosec // a file of the repository
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// scripted is a connection whose peer has said everything already; it then
// ends. What is written is kept.
type scripted struct {
	net.Conn
	in      *bytes.Reader
	out     bytes.Buffer
	oneByte bool
}

func (c *scripted) Read(p []byte) (int, error) {
	if c.oneByte && len(p) > 1 {
		p = p[:1]
	}
	return c.in.Read(p)
}

func (c *scripted) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scripted) Close() error                     { return nil }
func (c *scripted) CloseWrite() error                { return nil }
func (c *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

// reading is one request as a handler saw it.
type reading struct {
	method, target, host string
	body                 string
	err                  error
	length               int64
	chunked              bool
	fields               int
}

// collector is a server that notes the requests that it reads.
func collector(all *[]reading) *Server {
	return &Server{MaxRequests: -1, watchEvery: time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		*all = append(*all, reading{
			strings.Clone(r.Method), r.RequestURI, r.Host, string(b), err, r.ContentLength, len(r.TransferEncoding) > 0, len(r.Header),
		})
	})}
}

// readings serves a stream and returns the requests that it held.
func readings(stream []byte, oneByte bool) (all []reading, out []byte) {
	c := &scripted{in: bytes.NewReader(stream), oneByte: oneByte}
	collector(&all).ServeConn(c)
	return all, c.out.Bytes()
}

// socketReadings is readings over a socket, where requests that arrive whole
// take another way, see ready.
func socketReadings(t *testing.T, stream []byte) (all []reading, out []byte) {
	near, far := socketPair(t)
	defer func() { _ = far.Close() }()
	done := make(chan struct{})
	go func() { defer close(done); collector(&all).ServeConn(near) }()
	go func() {
		_, _ = far.Write(stream)
		_ = closeWrite(far)
	}()
	out, _ = io.ReadAll(far)
	<-done
	return all, out
}

// socketPair is two connected sockets.
func socketPair(t *testing.T) (near, far net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return ends[0], ends[1]
}

// FuzzRequestHead: what we accept as a head, the standard library accepts too
// and reads the same.
func FuzzRequestHead(f *testing.F) {
	seeds(f, "requests")
	f.Fuzz(func(t *testing.T, stream []byte) {
		all, _ := readings(stream, false)
		if len(all) == 0 {
			return
		}
		got := all[0]
		stream = bytes.TrimPrefix(stream, []byte("\r\n"))
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(stream)))
		if err != nil {
			t.Fatalf("the standard library refuses %q: %v", stream, err)
		}
		chunked := len(r.TransferEncoding) > 0
		if r.Method != got.method || r.RequestURI != got.target || r.ContentLength != got.length || chunked != got.chunked {
			t.Fatalf("%q\nhere  %+v\nthere %s %s %d %v", stream, got, r.Method, r.RequestURI, r.ContentLength, r.TransferEncoding)
		}
		if !strings.Contains(got.target, "://") && r.Host != got.host {
			t.Fatalf("%q: Host %q, there %q", stream, got.host, r.Host)
		}
		body, err := io.ReadAll(r.Body)
		if got.err == nil && (err != nil || string(body) != got.body) {
			t.Fatalf("%q: body %q, there %q %v", stream, got.body, body, err)
		}
	})
}

// FuzzChunked: a body that we accept is what the standard library reads, ends
// at the same byte, and does not depend on how it arrives.
func FuzzChunked(f *testing.F) {
	for _, c := range brokenBodies {
		f.Add([]byte(c.body))
	}
	f.Add([]byte("5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n"))
	f.Add([]byte("00000005\r\nhello\r\n1;a=\"\\\"\"\r\n!\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		head := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		whole, _ := readings(append([]byte(head), body...), false)
		piecemeal, _ := readings(append([]byte(head), body...), true)
		if len(whole) != len(piecemeal) || whole[0].body != piecemeal[0].body || (whole[0].err == nil) != (piecemeal[0].err == nil) {
			t.Fatalf("%q: depends on arrival:\n%+v\n%+v", body, whole, piecemeal)
		}
		if whole[0].err != nil {
			var bad *BodyError
			if !errors.As(whole[0].err, &bad) || len(whole) > 1 {
				t.Fatalf("%q: %v, then %d more requests", body, whole[0].err, len(whole)-1)
			}
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), bytes.NewReader(body))))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil && strings.Contains(err.Error(), "suspiciously long trailer") {
			return // its limit is the size of its buffer
		}
		if err != nil || string(b) != whole[0].body {
			t.Fatalf("%q: %q, the standard library %q %v", body, whole[0].body, b, err)
		}
	})
}

// FuzzResponseHead: a response that we accept, the standard library accepts
// and reads the same; and nothing is kept of a connection that said more.
func FuzzResponseHead(f *testing.F) {
	for _, c := range incoming {
		f.Add([]byte(c.bytes))
	}
	files, _ := filepath.Glob("testdata/responses/*")
	for _, name := range files {
		b, err := os.ReadFile(name) //nolint:gosec // a file of the repository
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		tr := &Transport{Dial: func(context.Context) (net.Conn, error) { return &scripted{in: bytes.NewReader(stream)}, nil }}
		res, err := tr.RoundTrip(newRequest())
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T", err)
			}
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		compareResponse(t, stream, res, string(body), err)
	})
}

func compareResponse(t *testing.T, stream []byte, res *http.Response, body string, err error) {
	br := bufio.NewReader(bytes.NewReader(stream))
	for {
		std, stdErr := http.ReadResponse(br, &http.Request{Method: "GET"})
		if stdErr != nil {
			t.Fatalf("the standard library refuses %q: %v", stream, stdErr)
		}
		if std.StatusCode < 200 {
			continue
		}
		if std.StatusCode != res.StatusCode {
			t.Fatalf("%q: %d, there %d", stream, res.StatusCode, std.StatusCode)
		}
		stdBody, stdErr := io.ReadAll(std.Body)
		if err == nil && res.StatusCode != 205 && (stdErr != nil || string(stdBody) != body) {
			t.Fatalf("%q: body %q, there %q %v", stream, body, stdBody, stdErr)
		}
		return
	}
}

// FuzzConnection: a whole client connection through server and transport. It
// does not panic; it is read the same however it arrives; nothing is read
// after a refusal or "close"; and what goes upstream parses back to exactly
// the requests that were served, with one framing each.
func FuzzConnection(f *testing.F) {
	seeds(f, "requests")
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, out := readings(stream, false)
		piecemeal, _ := readings(stream, true)
		sameReadings(t, stream, whole, piecemeal)
		checkResponses(t, stream, out, len(whole))
		if len(stream) < 4<<10 {
			quick, out := socketReadings(t, stream)
			sameReadings(t, stream, whole, quick)
			checkResponses(t, stream, out, len(whole))
		}
		checkForwarded(t, stream)
	})
}

func sameReadings(t *testing.T, stream []byte, one, other []reading) {
	if len(one) != len(other) {
		t.Fatalf("%q: %d requests, %d when they arrive otherwise", stream, len(one), len(other))
	}
	for i := range one {
		a, b := one[i], other[i]
		if a.method != b.method || a.target != b.target || a.body != b.body || (a.err == nil) != (b.err == nil) {
			t.Fatalf("%q: request %d depends on arrival:\n%+v\n%+v", stream, i, a, b)
		}
		if a.err != nil && i != len(one)-1 {
			t.Fatalf("%q: served on after a broken body", stream)
		}
	}
}

// checkResponses: one answer for each request and at most one refusal, the
// last.
func checkResponses(t *testing.T, stream, out []byte, requests int) {
	n := bytes.Count(out, []byte("HTTP/1.1 ")) - bytes.Count(out, []byte("HTTP/1.1 100 "))
	if n < requests || n > requests+1 {
		t.Fatalf("%q: %d requests, %d responses", stream, requests, n)
	}
	if i := bytes.Index(out, []byte("Connection: close")); i >= 0 && bytes.Contains(out[i:], []byte("HTTP/1.1")) {
		t.Fatalf("%q: a response after close: %q", stream, out)
	}
}

// checkForwarded proxies the stream to an upstream that is a scripted
// connection for each request.
func checkForwarded(t *testing.T, stream []byte) {
	s := &Server{MaxRequests: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := &scripted{in: bytes.NewReader([]byte(okResponse))}
		tr := &Transport{MaxIdle: -1, Dial: func(context.Context) (net.Conn, error) { return up, nil }}
		body := &counting{ReadCloser: r.Body}
		if r.Body != http.NoBody {
			body.closed = make(chan struct{})
			r.Body = body
		}
		method, host := r.Method, r.Host
		res, err := tr.RoundTrip(r)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		_, _ = io.Copy(w, res.Body)
		_ = res.Body.Close()
		body.wait()
		checkUpstream(t, stream, up.out.Bytes(), method, host, body)
	})}
	s.ServeConn(&scripted{in: bytes.NewReader(stream)})
}

func checkUpstream(t *testing.T, stream, sent []byte, method, host string, body *counting) {
	br := bufio.NewReader(bytes.NewReader(sent))
	r, err := http.ReadRequest(br)
	if err != nil {
		t.Fatalf("%q was sent on as %q: %v", stream, sent, err)
	}
	head, _, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
	lower := bytes.ToLower(head)
	framings := bytes.Count(lower, []byte("\r\ncontent-length:")) + bytes.Count(lower, []byte("\r\ntransfer-encoding:"))
	if r.Method != method || r.Host != host || framings > 1 || bytes.Count(lower, []byte("\r\nhost:")) != 1 {
		t.Fatalf("%q was sent on as %q", stream, sent)
	}
	b, err := io.ReadAll(r.Body)
	if body.complete && (err != nil || string(b) != body.b.String()) {
		t.Fatalf("%q: body %q was sent on as %q: %v", stream, body.b.String(), b, err)
	}
	if !body.complete && body.failed && err == nil {
		t.Fatalf("%q: a broken body was sent on as a whole one: %q", stream, sent)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Fatalf("%q was sent on as more than one request: %q", stream, sent)
	}
}

// counting notes what was read of a request body.
type counting struct {
	io.ReadCloser
	mu               sync.Mutex
	b                strings.Builder
	complete, failed bool
	closed           chan struct{} // nil without a body
}

func (c *counting) Close() error {
	close(c.closed)
	return nil
}

// wait returns when the transport has done with the body.
func (c *counting) wait() {
	if c.closed != nil {
		<-c.closed
	}
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Write(p[:n])
	c.complete = c.complete || err == io.EOF
	c.failed = c.failed || err != nil && err != io.EOF
	return n, err
}
