package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// passing is a Passthrough that ends TLS by itself for one name, with a certificate of its own, and echoes.
type passing struct {
	name  string
	off   atomic.Bool
	asked chan string
}

func (p *passing) Passes() bool { return !p.off.Load() }

func (p *passing) Pass(conn net.Conn, name string) bool {
	p.asked <- name
	if name != p.name {
		return false
	}
	defer conn.Close()
	inner := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"echo"}})
	_, _ = io.Copy(inner, inner)
	return true
}

func startPassing(t *testing.T, change ...func(*Options)) (*running, *passing) {
	p := &passing{name: "vault.example.com", asked: make(chan string, 100)}
	return start(t, tell, append(change, func(o *Options) { o.Passthrough = p })...), p
}

// pieces writes in pieces of n bytes, each of which is sent on its own.
type pieces struct {
	net.Conn
	n int
}

func (p *pieces) Write(b []byte) (written int, err error) {
	for piece := range chunks(b, p.n) {
		n, err := p.Conn.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 && yield(b[:min(n, len(b))]) {
			b = b[min(n, len(b)):]
		}
	}
}

// records cuts what is written first, a ClientHello, into TLS records of n bytes.
type records struct {
	net.Conn
	n    int
	done bool
}

func (r *records) Write(b []byte) (int, error) {
	if r.done {
		return r.Conn.Write(b)
	}
	r.done = true
	var out []byte
	for piece := range chunks(b[recordHead:], r.n) {
		out = append(append(out, typeHandshake, 3, 1, byte(len(piece)>>8), byte(len(piece))), piece...)
	}
	if _, err := r.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

func TestPassthrough(t *testing.T) {
	s, p := startPassing(t)
	for about, wrap := range map[string]func(net.Conn) net.Conn{
		"whole":             func(c net.Conn) net.Conn { return c },
		"byte by byte":      func(c net.Conn) net.Conn { return &pieces{c, 1} },
		"in segments":       func(c net.Conn) net.Conn { return &pieces{c, 300} },
		"in small records":  func(c net.Conn) net.Conn { return &records{Conn: c, n: 1} },
		"in larger records": func(c net.Conn) net.Conn { return &records{Conn: c, n: 500} },
		"in both":           func(c net.Conn) net.Conn { return &records{Conn: &pieces{c, 7}, n: 100} },
	} {
		for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			socket, err := net.Dial("tcp", s.https)
			if err != nil {
				t.Fatal(err)
			}
			conn := tls.Client(wrap(socket), &tls.Config{InsecureSkipVerify: true, ServerName: "vault.example.com", NextProtos: []string{"echo"}, MaxVersion: most})
			text := strings.Repeat("hello ", 10_000)
			go func() { _, _ = io.WriteString(conn, text); _ = conn.CloseWrite() }()
			if got, err := io.ReadAll(conn); string(got) != text || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: %d of %d bytes came back, %v", about, tls.VersionName(most), len(got), len(text), err)
			}
			if name := <-p.asked; name != "vault.example.com" {
				t.Errorf("%s: asked for %q", about, name)
			}
			socket.Close()
		}
	}
	if n := len(s.events.handshakes); n > 0 {
		t.Errorf("%d handshakes were counted as ours", n)
	}
}

// Everything else is served as without it: other names, none, old clients, what is no TLS.
func TestPassthroughLeavesOthersAlone(t *testing.T) {
	s, p := startPassing(t)
	for _, name := range []string{"shop.example.com", ""} {
		transport := client(t)
		if name == "" {
			name = s.https
		}
		if _, got := get(t, transport, "https://"+s.https); !strings.HasPrefix(got, "HTTP/2.0") {
			t.Errorf("%s: got %q", name, got)
		}
	}
	conn, err := tls.Dial("tcp", s.https, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if name := <-p.asked; name != "shop.example.com" {
		t.Errorf("asked for %q", name)
	}
	if resp, body := get(t, client(t), "http://"+s.https); resp.StatusCode != 400 || !strings.Contains(body, "HTTPS") {
		t.Errorf("plain HTTP: got %d %q", resp.StatusCode, body)
	}
	p.off.Store(true)
	conn, err = tls.Dial("tcp", s.https, &tls.Config{InsecureSkipVerify: true, ServerName: "vault.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if len(p.asked) > 0 {
		t.Error("asked although nothing is passed through")
	}
}

// A ClientHello that never comes, or never ends, holds a connection no longer than a handshake may.
func TestPassthroughOfSlowHellos(t *testing.T) {
	s, _ := startPassing(t, func(o *Options) { o.Limits.Handshake = 50 * time.Millisecond })
	for _, sent := range []string{"", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"} {
		conn, err := net.Dial("tcp", s.https)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, sent)
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("%q was answered %q", sent, got)
		}
		if got := <-s.events.handshakes; got != "timeout" {
			t.Errorf("%q: %s", sent, got)
		}
		conn.Close()
	}
}

// A drain waits for a connection that was passed on, and cuts it when the grace period ends.
func TestDrainWaitsForPassthrough(t *testing.T) {
	s, _ := startPassing(t)
	conn, err := tls.Dial("tcp", s.https, &tls.Config{InsecureSkipVerify: true, ServerName: "vault.example.com", NextProtos: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	until(t, "counted as upgraded", func() (yes bool) {
		s.Connections(func(l, state string, n int64) { yes = yes || l == "https" && state == "upgraded" && n == 1 })
		return yes
	})
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	<-s.stopping
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 1 {
		t.Errorf("during the drain: %v", err)
	}
	cancel() // the grace period ends
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Errorf("the drain ended with %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlived the grace period")
	}
}

// helloBytes is the ClientHello of crypto/tls.
func helloBytes(config *tls.Config) []byte {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	config.InsecureSkipVerify = true
	go func() { _ = tls.Client(near, config).Handshake() }()
	buffer := make([]byte, 16<<10)
	n, _ := far.Read(buffer)
	return buffer[:n]
}

// FuzzClientHello: where we find a whole ClientHello, TLS finds the same name in the same bytes, and every cut of it is one that wants
// more.
func FuzzClientHello(f *testing.F) {
	f.Add(helloBytes(&tls.Config{ServerName: "shop.example.com"}))
	f.Add(helloBytes(&tls.Config{ServerName: "shop.example.com", MaxVersion: tls.VersionTLS12}))
	f.Add([]byte("\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, input []byte) {
		length, err := helloLength(input)
		if length < 0 || length > len(input) || err != nil && length != 0 {
			t.Fatalf("length %d of %d, %v", length, len(input), err)
		}
		if length == 0 {
			return
		}
		for _, cut := range []int{length - 1, length / 2, 1} {
			if n, err := helloLength(input[:cut]); n != 0 || err != nil {
				t.Fatalf("of %d bytes %d are a whole: %d, %v", length, cut, n, err)
			}
		}
		ours, err := serverName(input[:length])
		theirs, found := "", false
		config := &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			theirs, found = info.ServerName, true
			return nil, errSeen
		}}
		_ = tls.Server(&recording{Reader: bytes.NewReader(input)}, config).Handshake()
		if (err == nil) != found || ours != theirs {
			t.Fatalf("we find %q (%v), TLS %q (%v)", ours, err, theirs, found)
		}
	})
}
