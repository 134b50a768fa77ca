package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestDirect(t *testing.T) {
	near, far := pair(t)
	c := Direct(addressed{near})
	if got := c.RemoteAddr().String(); got != "192.0.2.1:7" {
		t.Errorf("its peer is %s", got)
	}
	if rawSocket(plainConn(c)) == nil {
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
	c := Direct(near)
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
	if pipe, _ := net.Pipe(); Direct(pipe) != pipe {
		t.Error("what has no socket was wrapped")
	}
}
