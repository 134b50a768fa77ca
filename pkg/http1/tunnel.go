package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// Tunnel carries bytes both ways between a hijacked client connection and the
// Body of a 101 response, until both directions have ended, one fails, or
// nothing has moved in either for idle (0 or less: no limit; the error is
// then a timeout). An end in one direction is passed on as a half-close.
//
// buffered are client bytes read before the hijacking (what Hijack's reader
// holds); they go first, as do bytes that came with the upstream's 101. Bytes
// between two plain sockets go through the kernel once they come in bulk.
// Both connections are closed when Tunnel returns; up and down count bytes.
func Tunnel(client net.Conn, buffered []byte, upstream io.ReadWriteCloser, idle time.Duration) (up, down int64, err error) {
	t := &tunnel{idle: idle}
	t.client.open(client)
	early := t.openUpstream(upstream)
	defer client.Close()
	defer upstream.Close()
	t.touch()
	var wg sync.WaitGroup
	wg.Go(func() { up = t.carry(&t.upstream, &t.client, buffered) })
	down = t.carry(&t.client, &t.upstream, early)
	wg.Wait()
	return up, down, t.err
}

type tunnel struct {
	client, upstream wire
	idle             time.Duration
	active           atomic.Int64 // when bytes last moved
	mu               sync.Mutex
	err              error
}

// openUpstream finds the connection and the bytes that were read from it.
func (t *tunnel) openUpstream(rwc io.ReadWriteCloser) (early []byte) {
	switch u := rwc.(type) {
	case *upgraded:
		early, u.early = u.early, nil
		t.upstream.open(u.conn.wire.conn)
	case net.Conn:
		t.upstream.open(u)
	default:
		t.upstream.open(streamConn{ReadWriteCloser: rwc})
	}
	return early
}

func (t *tunnel) touch() { t.active.Store(now()) }

// carry moves bytes one way until they end.
func (t *tunnel) carry(dst, src *wire, early []byte) (n int64) {
	if len(early) > 0 {
		m, err := dst.write(early, t.idle)
		n = int64(m)
		if err != nil {
			t.fail(err)
			return n
		}
	}
	m, err := t.copy(dst, src)
	n += m
	if err != nil {
		t.fail(err)
		return n
	}
	if closeWrite(dst.conn) != nil {
		t.fail(nil)
	}
	return n
}

// fail ends both directions; the first error is the tunnel's.
func (t *tunnel) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && !errors.Is(err, errInterrupted) {
		t.err = err
	}
	t.client.interrupt()
	t.upstream.interrupt()
}

// copy moves bytes until src ends. A socket that has nothing to read holds no
// buffer; a full buffer means bulk, which the kernel carries if it can.
func (t *tunnel) copy(dst, src *wire) (n int64, err error) {
	c := carrier{src: src}
	defer c.drop()
	for {
		p, err := t.await(&c)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		t.touch()
		m, err := dst.write(p, t.idle)
		n += int64(m)
		if err != nil {
			return n, err
		}
		if len(p) < copyBuffer || src.raw == nil || dst.raw == nil || !sock.CanSplice {
			continue
		}
		m64, err := t.bulk(dst, src)
		n += m64
		if err != nil {
			return n, err
		}
	}
}

// bulk lets the kernel move bytes while they come in large pieces.
func (t *tunnel) bulk(dst, src *wire) (n int64, err error) {
	s := newSplicer(dst, src, idleTimes{t.idle, t.idle})
	defer s.finish()
	for {
		m, rerr, werr := s.step(1 << 20)
		n += m
		switch {
		case werr != nil:
			return n, werr
		case rerr == io.EOF || isTimeout(rerr) && t.stillActive():
			return n, nil // the next read finds it again
		case rerr != nil:
			return n, rerr
		}
		t.touch()
		if m < minBulk {
			return n, nil
		}
	}
}

// minBulk is the size of pieces for which a pipe is not worth its system calls.
const minBulk = 8 << 10

// stillActive reports whether the other direction moved bytes lately.
func (t *tunnel) stillActive() bool {
	return t.idle > 0 && now() < t.active.Load()+int64(t.idle)
}

// await reads, and looks at the other direction when the idle limit is hit.
func (t *tunnel) await(c *carrier) ([]byte, error) {
	for {
		limit := never
		if t.idle > 0 {
			limit = t.active.Load() + int64(t.idle)
		}
		p, err := c.read(limit)
		if err == nil || !isTimeout(err) || c.src.stop.Load() || !t.stillActive() {
			return p, err
		}
	}
}

// carrier reads with a buffer that it has only while there is something.
type carrier struct {
	src *wire
	buf *[copyBuffer]byte
	one [1]byte
	try func(uintptr) bool
	n   int
	err error
}

func (c *carrier) drop() {
	if c.buf != nil {
		copyBuffers.Put(c.buf)
		c.buf = nil
	}
}

// read returns bytes that are valid until the next read.
func (c *carrier) read(limit int64) ([]byte, error) {
	if c.src.raw == nil {
		return c.readCoded(limit)
	}
	if c.try == nil {
		c.try = c.tryRead
	}
	if err := c.src.waitUntil(c.try, limit); err != nil {
		return nil, err
	}
	if c.err == nil && c.n == 0 {
		c.err = io.EOF
	}
	if c.err != nil {
		return nil, c.err
	}
	return c.buf[:c.n], nil
}

// readCoded reads from what is not a plain socket. Under TLS it waits with one
// byte, and then, so as not to wait, takes the rest of the record with a
// deadline that has passed.
func (c *carrier) readCoded(limit int64) ([]byte, error) {
	t, ok := c.src.conn.(*tls.Conn)
	if !ok {
		if c.buf == nil {
			c.buf = copyBuffers.Get().(*[copyBuffer]byte)
		}
		n, err := c.src.read(c.buf[:], limit, nil)
		if n > 0 {
			err = nil
		}
		return c.buf[:n], err
	}
	c.drop()
	if n, err := c.src.read(c.one[:], limit, nil); n == 0 {
		return nil, err
	}
	c.buf = copyBuffers.Get().(*[copyBuffer]byte)
	c.buf[0] = c.one[0]
	_ = t.SetReadDeadline(past)
	n, _ := t.Read(c.buf[1:])
	c.src.setRead(limit)
	if c.src.stop.Load() {
		return nil, errInterrupted
	}
	return c.buf[:1+n], nil
}

func (c *carrier) tryRead(fd uintptr) bool {
	if c.buf == nil {
		c.buf = copyBuffers.Get().(*[copyBuffer]byte)
	}
	c.n, c.err = sock.Read(fd, c.buf[:])
	if c.err != nil && sock.WouldBlock(c.err) {
		c.drop()
		return false
	}
	return true
}

// streamConn lets any stream be one side of a tunnel; it has no deadlines.
type streamConn struct{ io.ReadWriteCloser }

func (streamConn) LocalAddr() net.Addr              { return nil }
func (streamConn) RemoteAddr() net.Addr             { return nil }
func (streamConn) SetDeadline(time.Time) error      { return nil }
func (streamConn) SetReadDeadline(time.Time) error  { return nil }
func (streamConn) SetWriteDeadline(time.Time) error { return nil }

// CloseWrite passes a half-close on, or closes where there is none.
func (s streamConn) CloseWrite() error {
	if half, ok := s.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.Close()
}
