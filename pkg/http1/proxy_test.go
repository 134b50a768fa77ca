package http1

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
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

// certificate makes a self-signed certificate for a TLS test.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsListener completes handshakes before it hands connections out.
type tlsListener struct {
	net.Listener
	config *tls.Config
}

func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := tls.Server(c, l.config)
	return t, t.Handshake()
}

// Large bodies in both directions, over every combination of plain and TLS,
// with every framing, arrive as they were sent.
func TestLargeBodies(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	const size = 3<<20 + 12345
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(mrand.Uint32())
	}
	sum := strconv.Itoa(int(crc32.ChecksumIEEE(content)))
	back := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := crc32.NewIEEE()
		_, err := io.Copy(h, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(h.Sum32(), err))
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", strconv.Itoa(size))
		case "/close":
			w.Header().Set("Connection", "close")
		}
		_, _ = w.Write(content)
	})}
	for _, frontTLS := range []bool{false, true} {
		for _, backTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("client tls %t upstream tls %t", frontTLS, backTLS), func(t *testing.T) {
				backAddr := serveMaybeTLS(t, back, backTLS, config)
				tr := &Transport{Dial: dialMaybeTLS(backAddr, backTLS)}
				defer func() { _ = tr.Close() }()
				front := serveMaybeTLS(t, &Server{Handler: forward(tr, &log{})}, frontTLS, config)
				for _, path := range []string{"/length", "/chunked", "/close"} {
					for _, length := range []string{"Content-Length: " + strconv.Itoa(size), "Transfer-Encoding: chunked"} {
						largeExchange(t, dialMaybeTLS(front, frontTLS), path, length, content, sum)
					}
				}
			})
		}
	}
}

func serveMaybeTLS(t testing.TB, s *Server, secure bool, config *tls.Config) string {
	l := listen(t)
	if secure {
		l = tlsListener{l, config}
	}
	go func() { _ = (&Server{Handler: s.Handler}).Serve(l) }()
	return l.Addr().String()
}

func dialMaybeTLS(addr string, secure bool) func(context.Context) (net.Conn, error) {
	if !secure {
		return dialTo(addr)
	}
	return func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own certificate
		return d.DialContext(ctx, "tcp", addr)
	}
}

func largeExchange(t *testing.T, dial func(context.Context) (net.Conn, error), path, framing string, content []byte, sum string) {
	t.Helper()
	c, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	conn := &client{TB: t, Conn: c}
	conn.say("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + framing + "\r\n\r\n")
	if strings.HasPrefix(framing, "T") {
		for rest := content; len(rest) > 0; {
			n := min(1+mrand.IntN(70000), len(rest))
			conn.say(fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n]))
			rest = rest[n:]
		}
		conn.say("0\r\n\r\n")
	} else {
		conn.say(string(content))
	}
	conn.r = newReader(c)
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(path, framing, err)
	}
	got := crc32.NewIEEE()
	n, err := io.Copy(got, res.Body)
	if res.Header.Get("X-Sum") != sum+" <nil>" || strconv.Itoa(int(got.Sum32())) != sum || err != nil {
		t.Errorf("%s %s: upload %s, download %d bytes %v", path, framing, res.Header.Get("X-Sum"), n, err)
	}
}

func TestTLSRequest(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	addr := serveMaybeTLS(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, tls.VersionName(r.TLS.Version))
	})}, true, config)
	c, err := dialMaybeTLS(addr, true)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	conn := &client{t, c, newReader(c)}
	for range 3 {
		conn.say(get11)
		if got := conn.hear("GET"); got != `200 "TLS 1.3"` {
			t.Error(got)
		}
	}
}
