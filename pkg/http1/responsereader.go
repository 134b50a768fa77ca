package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Answer is room for a Response and its Body. Unless Call brings one there is a
// new one for every response, so that closing it twice, or looking at it
// afterwards, does not meet another request's.
type Answer struct {
	res  http.Response
	body responseBody
}

// responseBody is Response.Body.
type responseBody struct {
	res     *http.Response
	mu      sync.Mutex
	x       *clientExchange // nil when closed; written under mu by Close only
	closing atomic.Bool
}

// Read reads the body. At its end the connection goes back to the pool; an
// error other than io.EOF is an *Error and the connection is closed.
func (b *responseBody) Read(p []byte) (int, error) {
	return b.read(p, nil)
}

// ReadAhead is Read with a function to call before it waits for the endpoint,
// so that a caller can collect what there is and send it on before a pause. An
// error of that function is returned.
func (b *responseBody) ReadAhead(p []byte, beforeWait func() error) (int, error) {
	return b.read(p, beforeWait)
}

// read reads with a function to call before it waits, see wire.read.
func (b *responseBody) read(p []byte, beforeBlock func() error) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.x
	if x == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := x.body.read(p, beforeBlock)
	if err == nil {
		return n, nil
	}
	return n, x.endBody(err)
}

// endBody deals with the end of the body, good or bad.
func (x *clientExchange) endBody(err error) error {
	if err == io.EOF {
		x.finish(!x.head.close)
		return io.EOF
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	op := "read body"
	var p *ProtocolError
	if errors.As(err, &p) {
		op = "malformed"
	}
	if s := x.sender; s != nil {
		if sop, serr := s.failure(); serr != nil {
			op, err = sop, serr
		}
	}
	if ctxErr := x.req.Context().Err(); ctxErr != nil && errors.Is(err, errInterrupted) {
		op, err = "canceled", ctxErr
	}
	x.finish(false)
	err = &Error{Op: op, Sent: true, Received: true, Reused: x.reused, Err: err}
	x.body.err = err
	return err
}

// Close ends the response, after which neither it nor its Header may be used.
// A body that was not read to its end costs the connection.
func (b *responseBody) Close() error {
	if b.closing.Swap(true) {
		return nil
	}
	x := b.x // nobody else writes it now
	if !b.mu.TryLock() {
		x.interrupt() // somebody reads: wake them
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.x = nil
	b.res.Header, b.res.Request = nil, nil // used again
	x.finish(false)
	x.release()
	return nil
}

// WriteTo copies the body to w, by way of w's ReadFrom if it has one.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	if r, ok := w.(io.ReaderFrom); ok {
		return r.ReadFrom(b)
	}
	return copyThrough(w, b)
}

// copyThrough copies with a pooled buffer.
func copyThrough(w io.Writer, r io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	for {
		m, err := r.Read(buf[:])
		if m > 0 {
			k, werr := w.Write(buf[:m])
			n += int64(k)
			if werr != nil {
				return n, werr
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// upgraded is the Body of a 101 response: the connection itself, behind the
// bytes that came with the head.
type upgraded struct {
	conn  *upstreamConn
	early []byte
	once  sync.Once
}

// takeUpgraded removes the connection from the exchange, which is never used
// again and keeps no buffers.
func (x *clientExchange) takeUpgraded() *upgraded {
	x.connMu.Lock()
	defer x.connMu.Unlock()
	conn := x.conn
	x.conn = nil
	if x.own != nil {
		x.own.unuse(&conn.wire)
		x.own = nil
	}
	if x.stop != nil {
		x.stop()
		x.stop = nil
	}
	early := append([]byte(nil), x.in.bytes()...)
	x.in.drop()
	if x.sender == nil {
		giveBack(x.out)
		x.out = nil
	}
	conn.wire.setRead(never)
	conn.wire.armWrite(-1)
	return &upgraded{conn: conn, early: early}
}

// Read reads what the upstream sends.
func (u *upgraded) Read(p []byte) (int, error) {
	if len(u.early) > 0 {
		n := copy(p, u.early)
		u.early = u.early[n:]
		return n, nil
	}
	return u.conn.wire.conn.Read(p)
}

// Write sends to the upstream.
func (u *upgraded) Write(p []byte) (int, error) { return u.conn.wire.conn.Write(p) }

// CloseWrite tells the upstream that nothing more comes.
func (u *upgraded) CloseWrite() error { return closeWrite(u.conn.wire.conn) }

// Close closes the connection.
func (u *upgraded) Close() error {
	u.once.Do(u.conn.close)
	return nil
}

// NetConn is the connection behind early bytes, for those who look.
func (u *upgraded) NetConn() net.Conn { return u.conn.wire.conn }
