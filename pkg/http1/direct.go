package http1

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// Direct returns c with reads and writes as this package makes them: by system
// calls of which the scheduler is not told, see readSocket. It is for sockets
// below TLS, where a record takes one call each; what is above must read by one
// goroutine at a time, and write by one at a time, as crypto/tls does. A
// connection that is no TCP socket, nor a wrapper with a method TCPConn, is
// returned as it is.
func Direct(c net.Conn) net.Conn {
	socket, ok := plainConn(c).(*net.TCPConn)
	if !ok {
		return c
	}
	raw := rawSocket(socket)
	if raw == nil {
		return c
	}
	d := &direct{tcpConn: socket, given: c, raw: raw}
	d.in.try, d.out.try = d.in.read, d.out.write
	return d
}

type direct struct {
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

// directBelow is what [Direct] made, below the TLS of c; nil if there is none.
func directBelow(c net.Conn) *direct {
	t, ok := c.(*tls.Conn)
	if !ok {
		return nil
	}
	d, _ := t.NetConn().(*direct)
	return d
}

// attempt reads c, which is TLS above d, within a callback of raw.Read: it fails
// with EAGAIN instead of waiting. To crypto/tls that is a passing error, after
// which it goes on where it was, in the middle of a record if need be.
//
// A goroutine that waits within crypto/tls has ten more frames on its stack,
// which then needs 8 KiB instead of 4.
func (d *direct) attempt(fd uintptr, c net.Conn, p []byte) (int, error) {
	d.fd, d.inside = fd, true
	n, err := c.Read(p)
	d.inside = false
	return n, err
}

// tcpConn leaves the name TCPConn to the method.
type tcpConn = net.TCPConn

// TCPConn is the socket, for plainConn and who else looks for one.
func (d *direct) TCPConn() *net.TCPConn { return d.tcpConn }

func (d *direct) LocalAddr() net.Addr  { return d.given.LocalAddr() }
func (d *direct) RemoteAddr() net.Addr { return d.given.RemoteAddr() }

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
	return t.err == nil || !wouldBlock(t.err)
}

// readOrEnd is readSocket with io.EOF for the end.
func readOrEnd(fd uintptr, p []byte) (int, error) {
	n, err := readSocket(fd, p)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

func (t *transfer) write(fd uintptr) bool {
	n, err := writeSocket(fd, t.p[t.n:])
	t.n, t.err = t.n+n, err
	return err == nil || !wouldBlock(err)
}

// Read reads what there is, waiting for it if need be.
func (d *direct) Read(p []byte) (int, error) {
	if d.inside {
		n, err := readOrEnd(d.fd, p)
		if err != nil && !wouldBlock(err) {
			err = d.failed("read", err)
		}
		return n, err
	}
	n, err := d.in.run(d.raw.Read, p)
	return n, d.failed("read", err)
}

// Write writes all of p.
func (d *direct) Write(p []byte) (int, error) {
	d.written.Add(int64(len(p)))
	n, err := d.out.run(d.raw.Write, p)
	d.written.Add(int64(n - len(p)))
	return n, d.failed("write", err)
}

// failed gives an error of a system call the form of package net's.
func (d *direct) failed(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return &net.OpError{Op: op, Net: "tcp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: errno}
	}
	return err
}
