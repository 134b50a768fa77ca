package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// forward is a proxy's handler in small: what the seams must make possible.
func forward(tr *Transport, seen *log) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := tr.RoundTrip(r)
		if err != nil {
			seen.add("%s", failure(err))
			var bad *BodyError
			if errors.As(err, &bad) {
				w.Header().Set("X-Reason", bad.Reason)
				w.WriteHeader(bad.Status)
				return
			}
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = res.Body.Close() }()
		h := w.Header()
		for name, values := range res.Header {
			h[name] = values
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			upgradeTo(w, res, seen)
			return
		}
		var announced []string
		for name := range res.Trailer {
			announced = append(announced, name)
		}
		if announced != nil {
			h["Trailer"] = announced
		}
		w.WriteHeader(res.StatusCode)
		if _, err := io.Copy(w, res.Body); err != nil {
			seen.add("%s", failure(err))
			panic(http.ErrAbortHandler)
		}
		for name, values := range res.Trailer {
			h[name] = values
		}
	})
}

func failure(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Op
	}
	return err.Error()
}

func upgradeTo(w http.ResponseWriter, res *http.Response, seen *log) {
	h := res.Header.Clone()
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		seen.add("hijack: %v", err)
		return
	}
	early, _ := rw.Peek(rw.Reader.Buffered())
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + h.Get("Upgrade") + "\r\n\r\n"
	_, _ = io.WriteString(c, head)
	up, down, err := Tunnel(c, early, res.Body.(io.ReadWriteCloser), patience)
	seen.add("tunnel %d %d %v", up, down, err)
}

func proxyTo(t testing.TB, tr *Transport) (addr string, seen *log) {
	seen = &log{}
	return serve(t, &Server{Handler: forward(tr, seen)}), seen
}

func TestProxiedThrough(t *testing.T) {
	back := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	tr := &Transport{Dial: dialTo(back)}
	t.Cleanup(func() { _ = tr.Close() })
	front, _ := proxyTo(t, tr)
	for _, c := range served {
		if strings.Contains(c.bytes, "HTTP/1.0\r\n\r\n") || strings.Contains(c.bytes, "1.0\r\nExpect") {
			continue // no Host to send
		}
		conn := connect(t, front)
		conn.say(c.bytes)
		for _, want := range c.want {
			method := "GET"
			if rest, ok := strings.CutPrefix(want, "HEAD "); ok {
				method, want = "HEAD", rest
			}
			got := conn.hear(method)
			if !strings.Contains(c.name, "absolute") && got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
			}
		}
	}
}

// A broken body must be answered with 400, and the upstream must not see a
// complete request.
func TestBrokenBodiesAbortTheUpstream(t *testing.T) {
	for _, bytes := range []string{
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 99999),
		"Content-Length: 200000\r\n\r\n" + strings.Repeat("x", 150000),
		"Content-Length: 5\r\n\r\nhell",
	} {
		whole := make(chan bool, 1)
		tr := upstream(t, func(up *client) {
			r := up.request()
			if r == nil {
				whole <- false
				return
			}
			_, err := io.Copy(io.Discard, r.Body)
			whole <- err == nil
		})
		front, seen := proxyTo(t, tr)
		conn := connect(t, front)
		conn.say("POST / HTTP/1.1\r\nHost: x\r\n" + bytes)
		_ = closeWrite(conn.Conn)
		if got := conn.hear("POST"); !strings.HasPrefix(got, "400 X-Reason=") || !strings.HasSuffix(got, ` close ""`) {
			t.Errorf("%.60q: %s", bytes, got)
		}
		conn.rest()
		_ = tr.Close() // a connection on which nothing was sent may be kept
		if tr.Stats().Dials > 0 && seen.String() != "request body" || <-whole {
			t.Errorf("%.60q: %s, or the upstream saw a whole request", bytes, seen)
		}
	}
}

// The upstream answers before the body is there: the client gets the answer
// although it never finishes its body.
func TestEarlyResponse(t *testing.T) {
	for _, keepsReading := range []bool{true, false} {
		tr := upstream(t, func(up *client) {
			for line := "x"; line != "\r\n"; {
				line, _ = up.r.ReadString('\n')
			}
			up.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			if keepsReading {
				_, _ = io.Copy(io.Discard, up.r)
			}
		})
		front, _ := proxyTo(t, tr)
		conn := connect(t, front)
		conn.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\nsome")
		if got := conn.hear("POST"); got != `413 close "no"` {
			t.Error(got)
		}
		if rest := conn.rest(); rest != "" {
			t.Errorf("more: %q", rest)
		}
		if s := tr.Stats(); s.Open != 0 {
			t.Errorf("a connection with an unfinished request was kept: %+v", s)
		}
	}
}

// An upstream that fails in the middle of an upload must not make the rest of
// the body look like a request, nor a request look like the body.
func TestUploadThatFails(t *testing.T) {
	for i := range 5 {
		tr := upstream(t, func(up *client) {
			_, _ = io.CopyN(io.Discard, up.r, int64(1+i*80000))
			_ = up.Conn.(*net.TCPConn).SetLinger(0)
		})
		var served log
		front := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served.add("%s %s", r.Method, r.URL.Path)
			if r.URL.Path == "/up" {
				forward(tr, &log{}).ServeHTTP(w, r)
			}
		})})
		conn := connect(t, front)
		_, _ = io.WriteString(conn.Conn, "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"+strings.Repeat(smuggled, 400000/len(smuggled)+1)[:400000]+get11)
		if got := conn.hear("POST"); !strings.HasPrefix(got, "502") {
			t.Error(got)
		}
		_ = closeWrite(conn.Conn)
		conn.rest()
		if s := served.String(); s != "POST /up" && s != "POST /up\nGET /" {
			t.Fatalf("served %s", s)
		}
	}
}

// Both directions at once: the upstream answers each piece as it comes.
func TestFullDuplex(t *testing.T) {
	tr := upstream(t, func(up *client) {
		r := up.request()
		up.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				up.say(fmt.Sprintf("%x\r\n%s\r\n", n, buf[:n]))
			}
			if err != nil {
				up.say("0\r\n\r\n")
				return
			}
		}
	})
	front, _ := proxyTo(t, tr)
	conn := connect(t, front)
	conn.say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, piece := range []string{"one", "two", "three"} {
		conn.say(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
		n, err := res.Body.Read(buf)
		if string(buf[:n]) != piece || err != nil {
			t.Fatalf("%q %v, want %q", buf[:n], err, piece)
		}
	}
	conn.say("0\r\n\r\n")
	if n, err := res.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("%d %v", n, err)
	}
}

// An event stream: head and each event arrive without being asked for.
func TestStreaming(t *testing.T) {
	more := make(chan struct{})
	tr := upstream(t, func(up *client) {
		up.request()
		up.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		for range 2 {
			<-more
			up.say("event")
		}
	})
	front, _ := proxyTo(t, tr)
	conn := connect(t, front)
	conn.say(get11)
	res, err := http.ReadResponse(conn.r, nil) // before any event
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		more <- struct{}{}
		buf := make([]byte, 100)
		if n, err := res.Body.Read(buf); string(buf[:n]) != "event" {
			t.Fatal(string(buf[:n]), err)
		}
	}
}

func TestUpstreamBreaksOff(t *testing.T) {
	for _, bytes := range []string{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
	} {
		tr := upstream(t, func(up *client) { up.request(); up.say(bytes) })
		front, seen := proxyTo(t, tr)
		conn := connect(t, front)
		conn.say(get11)
		if got := conn.hear("GET"); !strings.HasSuffix(got, "closed") {
			t.Errorf("the client took half a response for a whole one: %s", got)
		}
		eventually(t, "read body", func() bool { return seen.String() == "read body" })
	}
}

func TestTrailersThrough(t *testing.T) {
	tr := upstream(t, func(up *client) {
		r := up.request()
		_, _ = io.Copy(io.Discard, r.Body)
		up.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: " + r.Trailer.Get("X-In") + "\r\n\r\n")
	})
	front, _ := proxyTo(t, tr)
	conn := connect(t, front)
	conn.say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-In\r\n\r\n1\r\na\r\n0\r\nX-In: 7\r\n\r\n")
	if got := conn.hear("POST"); got != `200 chunked "hi" trailer X-Sum=7` {
		t.Error(got)
	}
}

// Upgrade: bytes that come with the request and with the 101 are not lost,
// and the end of one direction does not end the other.
func TestUpgrade(t *testing.T) {
	tr := upstream(t, func(up *client) {
		r := up.request()
		up.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + r.Header.Get("Upgrade") + "\r\nConnection: Upgrade\r\n\r\nhello ")
		b, _ := io.ReadAll(up.r)
		up.say("you said " + string(b))
	})
	front, seen := proxyTo(t, tr)
	conn := connect(t, front)
	conn.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "echo" {
		t.Fatal(res, err)
	}
	conn.say("late")
	_ = closeWrite(conn.Conn)
	if rest := conn.rest(); rest != "hello you said early late" {
		t.Errorf("%q", rest)
	}
	eventually(t, "the tunnel ends", func() bool { return seen.String() == "tunnel 10 25 <nil>" })
	eventually(t, "the connection is gone", func() bool { return tr.Stats().Open == 0 })
}

func TestUpgradeRefusedByTheUpstream(t *testing.T) {
	tr := upstream(t, func(up *client) {
		for up.request() != nil {
			up.say(okResponse)
		}
	})
	front, _ := proxyTo(t, tr)
	conn := connect(t, front)
	conn.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + get11)
	if got := conn.hear("GET") + conn.hear("GET"); got != `200 "hi"200 "hi"` {
		t.Error(got)
	}
}

// An upstream that switches to what it was not asked for, or does not say to
// what, has not understood the request.
func TestUpgradeToAnother(t *testing.T) {
	for answer, reason := range map[string]string{
		"Connection: Upgrade\r\nUpgrade: WebSocket\r\n":            "",
		"Connection: Upgrade\r\nUpgrade: other\r\n":                "other-upgrade",
		"Connection: Upgrade\r\nUpgrade: websocket, other\r\n":     "other-upgrade",
		"Connection: Upgrade\r\n":                                  "bad-upgrade",
		"Upgrade: websocket\r\n":                                   "bad-upgrade",
		"Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n":      "bad-upgrade",
		"Connection: Upgrade, x\r\nUpgrade: websocket\r\nX: 1\r\n": "",
	} {
		tr := upstream(t, func(up *client) {
			up.request()
			up.say("HTTP/1.1 101 Switching Protocols\r\n" + answer + "\r\n")
		})
		r := newRequest()
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "h3, websocket")
		res, err := tr.RoundTrip(r)
		var bad *ProtocolError
		switch {
		case err == nil:
			_ = res.Body.Close()
		case errors.As(err, &bad) && bad.Reason == reason:
			continue
		}
		if err != nil || reason != "" {
			t.Errorf("%q: %v, want %q", answer, err, reason)
		}
	}
}

func TestTunnelIdle(t *testing.T) {
	t.Parallel()
	tr := upstream(t, func(up *client) {
		up.request()
		up.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(up.Conn, up.r)
	})
	r := newRequest()
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "x")
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	near, far := pair(t)
	done := make(chan error, 1)
	go func() {
		_, _, err := Tunnel(near, nil, res.Body.(io.ReadWriteCloser), 2*time.Second)
		done <- err
	}()
	buf := make([]byte, 4)
	begun := time.Now()
	for range 7 { // activity, in all longer than the limit, keeps it open
		time.Sleep(300 * time.Millisecond)
		_, _ = far.Write([]byte("ping"))
		if _, err := io.ReadFull(far, buf); err != nil {
			t.Fatal(time.Since(begun), err)
		}
	}
	if err := <-done; !isTimeout(err) {
		t.Error(err)
	}
}

// pair is two ends of a TCP connection.
func pair(t testing.TB) (near, far net.Conn) {
	l := listen(t)
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}
