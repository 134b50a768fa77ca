package server

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestMemoryOfIdleTLS holds what a TLS connection costs that has had its request and rests: heap and stack, after the collector has run.
// The largest part, about 6.5 KiB, is crypto/tls's: two ciphers, and two buffers that keep the size of the ClientHello.
func TestMemoryOfIdleTLS(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("measures memory")
	}
	const conns, limit = 1000, 14 << 10
	r := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	open := func() {
		fd := rest(t, r.https)
		t.Cleanup(func() { _ = syscall.Close(fd) })
	}
	open() // what is made once
	before := held()
	for range conns {
		open()
	}
	until(t, "all are idle", func() bool { return r.secure.Stats().Idle == conns+1 })
	var each int64
	for range 10 { // the first count may find the stacks of the last answers
		if each = (held() - before) / conns; each <= limit {
			break
		}
	}
	if t.Logf("%d bytes for each of %d", each, conns); each > limit {
		t.Errorf("%d bytes for an idle TLS connection, want at most %d", each, limit)
	}
}

// held is what the Go runtime has for objects and stacks, after a collection.
func held() int64 {
	for range 5 { // each halves the stack of a goroutine that waits
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// rest has a request answered over TLS and keeps only the socket, so that none of the memory counted later is the client's.
func rest(t *testing.T, address string) (fd int) {
	t.Helper()
	at := netip.MustParseAddrPort(address)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err == nil {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(bareConn(fd), &tls.Config{InsecureSkipVerify: true})
	if _, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// bareConn is a socket without the runtime's poller.
type bareConn int

func (c bareConn) Read(p []byte) (int, error) {
	n, err := syscall.Read(int(c), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

func (c bareConn) Write(p []byte) (int, error)    { return syscall.Write(int(c), p) }
func (bareConn) Close() error                     { return nil }
func (bareConn) LocalAddr() net.Addr              { return nil }
func (bareConn) RemoteAddr() net.Addr             { return nil }
func (bareConn) SetDeadline(time.Time) error      { return nil }
func (bareConn) SetReadDeadline(time.Time) error  { return nil }
func (bareConn) SetWriteDeadline(time.Time) error { return nil }
