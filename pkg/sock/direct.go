package sock

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// Direct returns c with reads and writes as this package makes them: by system
// calls of which the scheduler is not told, see Read. It is for sockets
// below TLS, where a record takes one call each; what is above must read by one
// goroutine at a time, and write by one at a time, as crypto/tls does. A
// connection that is no TCP socket, nor a wrapper with a method TCPConn, is
// returned as it is.
func Direct(c net.Conn) net.Conn {
	socket, ok := Plain(c).(*net.TCPConn)
	if !ok {
		return c
	}
	raw := Raw(socket)
	if raw == nil {
		return c
	}
	d := &Conn{tcpConn: socket, given: c, raw: raw}
	d.in.try, d.out.try = d.in.read, d.out.write
	return d
}

// Conn is what Direct made.
type Conn struct {
	*tcpConn
	given   net.Conn // with the addresses that PROXY protocol tells
	raw     syscall.RawConn
	in, out transfer
	written atomic.Int64 // bytes, those of a write under way included
	// The descriptor, while the reader is within a callback of raw.Read: reads
	// then do not wait.
	fd     uintptr
	inside bool
}

// Below is what [Direct] made, below the TLS of c; nil if there is none.
func Below(c net.Conn) *Conn {
	t, ok := c.(*tls.Conn)
	if !ok {
		return nil
	}
	d, _ := t.NetConn().(*Conn)
	return d
}

// Raw is the socket's.
func (d *Conn) Raw() syscall.RawConn { return d.raw }

// Written is how many bytes were written, those of a write under way included.
func (d *Conn) Written() int64 { return d.written.Load() }

// Attempt reads c, which is TLS above d, within a callback of raw.Read: it fails
// with EAGAIN instead of waiting. To crypto/tls that is a passing error, after
// which it goes on where it was, in the middle of a record if need be.
//
// A goroutine that waits within crypto/tls has ten more frames on its stack,
// which then needs 8 KiB instead of 4.
func (d *Conn) Attempt(fd uintptr, c net.Conn, p []byte) (int, error) {
	d.fd, d.inside = fd, true
	n, err := c.Read(p)
	d.inside = false
	return n, err
}

// tcpConn leaves the name TCPConn to the method.
type tcpConn = net.TCPConn

// TCPConn is the socket, for Plain and who else looks for one.
func (d *Conn) TCPConn() *net.TCPConn { return d.tcpConn }

// LocalAddr is that of the connection which Direct was given.
func (d *Conn) LocalAddr() net.Addr { return d.given.LocalAddr() }

// RemoteAddr is likewise, so that it is the client's behind PROXY protocol.
func (d *Conn) RemoteAddr() net.Addr { return d.given.RemoteAddr() }

// transfer is one read or write at a time: arguments and results of try.
type transfer struct {
	p   []byte
	n   int
	err error
	try func(fd uintptr) (done bool)
}

func (t *transfer) run(call func(func(uintptr) bool) error, p []byte) (int, error) {
	t.p, t.n, t.err = p, 0, nil
	err := call(t.try)
	t.p = nil
	if err == nil {
		err = t.err
	}
	return t.n, err
}

func (t *transfer) read(fd uintptr) bool {
	t.n, t.err = readOrEnd(fd, t.p)
	return t.err == nil || !WouldBlock(t.err)
}

// readOrEnd is Read with io.EOF for the end.
func readOrEnd(fd uintptr, p []byte) (int, error) {
	n, err := Read(fd, p)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

func (t *transfer) write(fd uintptr) bool {
	n, err := Write(fd, t.p[t.n:])
	t.n, t.err = t.n+n, err
	return err == nil || !WouldBlock(err)
}

// Read reads what there is, waiting for it if need be.
func (d *Conn) Read(p []byte) (int, error) {
	if d.inside {
		n, err := readOrEnd(d.fd, p)
		if err != nil && !WouldBlock(err) {
			err = d.failed("read", err)
		}
		return n, err
	}
	n, err := d.in.run(d.raw.Read, p)
	return n, d.failed("read", err)
}

// Write writes all of p.
func (d *Conn) Write(p []byte) (int, error) {
	d.written.Add(int64(len(p)))
	n, err := d.out.run(d.raw.Write, p)
	d.written.Add(int64(n - len(p)))
	return n, d.failed("write", err)
}

// failed gives an error of a system call the form of package net's.
func (d *Conn) failed(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return &net.OpError{Op: op, Net: "tcp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: errno}
	}
	return err
}
