package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

func TestDirect(t *testing.T) {
	near, far := pair(t)
	c := sock.Direct(addressed{near})
	if got := c.RemoteAddr().String(); got != "192.0.2.1:7" {
		t.Errorf("its peer is %s", got)
	}
	if sock.Raw(sock.Plain(c)) == nil {
		t.Error("the socket is not found below it")
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than the sockets hold
	sent := make(chan error, 1)
	go func() {
		n, err := c.Write(large)
		if n != len(large) {
			err = errors.Join(err, io.ErrShortWrite)
		}
		sent <- errors.Join(err, closeWrite(c))
	}()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes of %d arrived: %v", len(got), len(large), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	_, _ = io.WriteString(far, "hello")
	_ = far.Close()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDirectFailures(t *testing.T) {
	near, far := pair(t)
	c := sock.Direct(near)
	_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !isTimeout(err) {
		t.Errorf("%d, %v", n, err)
	}
	_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Write(make([]byte, 64<<20)); n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	_ = c.SetDeadline(time.Time{})
	_ = far.(*net.TCPConn).SetLinger(0)
	_ = far.Close()
	var op *net.OpError
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) {
		t.Errorf("%T %v", err, err)
	}
	_ = c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if pipe, _ := net.Pipe(); sock.Direct(pipe) != pipe {
		t.Error("what has no socket was wrapped")
	}
}

// A read above TLS waits below it, and goes on in the middle of a record.
func TestReadingTLSWaitsBelow(t *testing.T) {
	near, far := pair(t)
	secure := tls.Server(sock.Direct(near), &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	peer := tls.Client(dribble{far}, &tls.Config{InsecureSkipVerify: true})
	shaken := make(chan error, 1)
	go func() { shaken <- peer.Handshake() }()
	if err := errors.Join(secure.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	var w wire
	w.open(secure)
	if w.below == nil {
		t.Fatal("the socket below TLS is not found")
	}
	p := make([]byte, 64)
	if n, err := w.read(p, after(now(), 20*time.Millisecond), nil); n != 0 || !isTimeout(err) {
		t.Errorf("with nothing to read: %d, %v", n, err)
	}
	said := make(chan error, 1)
	go func() {
		for range 50 { // records whose bytes come one by one
			_, err := io.WriteString(peer, "hello")
			if err != nil {
				said <- err
				return
			}
		}
		said <- peer.Close()
	}()
	var got []byte
	for {
		n, err := w.read(p, never, nil)
		got = append(got, p[:n]...)
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
	}
	if want := bytes.Repeat([]byte("hello"), 50); !bytes.Equal(got, want) {
		t.Errorf("read %q", got)
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
}

// dribble writes one byte at a time.
type dribble struct{ net.Conn }

func (d dribble) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		_, err = d.Conn.Write(p[n : n+1])
		n++
	}
	return n, err
}
