package http1

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/usher-ingress/usher/pkg/sock"
)

// requestBody is Request.Body. There is a new one for every request that has
// a body, because a handler (or a transport that got an early response) may
// read it late; when the handler has returned it is detached and says so.
type requestBody struct {
	mu      sync.Mutex
	x       *exchange // nil when detached
	touched bool      // read at least once
	closed  bool      // closed after that
}

// Read reads the body. Errors that are the client's fault are *BodyError.
// The first Read sends "100 Continue" if the client waits for it.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read(p, nil)
}

func (b *requestBody) read(p []byte, beforeBlock func() error) (int, error) {
	if b.x == nil || b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	x := b.x
	b.touched = true
	if err := x.response.sendContinue(); err != nil {
		return 0, err
	}
	n, err := x.body.read(p, beforeBlock)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		x.conn.bodyDone.Store(x.in.buffered() == 0)
		return n, io.EOF
	}
	return n, bodyError(err)
}

// Arriving reports whether bytes of the body are here although nobody has
// asked for them, from a client with "Expect: 100-continue" that does not wait,
// or whether somebody is reading, and thereby has asked.
func (b *requestBody) Arriving() bool {
	if !b.mu.TryLock() {
		return true
	}
	defer b.mu.Unlock()
	return b.x != nil && (b.x.in.buffered() > 0 || b.x.conn.wire.state() == sock.Ready)
}

// Close makes later reads fail, unless nothing was read: a body that was
// closed by a transport that could not even connect may be sent elsewhere.
// What the client still sends is dropped, or the connection closed, after the
// handler returns.
func (b *requestBody) Close() error {
	b.mu.Lock()
	b.closed = b.touched
	b.mu.Unlock()
	return nil
}

// bodyError says whose fault an unreadable request body is: the client's.
func bodyError(err error) error {
	var p *ProtocolError
	switch {
	case errors.As(err, &p):
		return &BodyError{Status: p.Status, Reason: p.Reason, Err: err}
	case errors.Is(err, http.ErrBodyReadAfterClose) || errors.Is(err, errInterrupted):
		return err
	case isTimeout(err):
		return &BodyError{Status: 408, Reason: "body-timeout", Err: err}
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return &BodyError{Status: 400, Reason: "short-body", Err: err}
}

// detachBody takes the body away from whoever may still be reading it.
func (x *exchange) detachBody() {
	b := x.handle
	if b == nil {
		return
	}
	if !b.mu.TryLock() {
		x.conn.wire.interruptRead()
		b.mu.Lock()
		x.conn.wire.resume()
		if x.body.err != nil && errors.Is(x.body.err, errInterrupted) {
			x.body.err = nil
		}
	}
	b.x = nil
	b.mu.Unlock()
}

// maxDrain is how much of a body that the handler did not read is read and
// dropped to keep the connection; net/http's figure.
const maxDrain = 256 << 10

// mayDrain reports whether the rest of the body can probably be dropped, so
// that the response need not announce the end of the connection. While
// another goroutine is reading the body, it is not known.
func (x *exchange) mayDrain() bool {
	if x.handle != nil {
		if !x.handle.mu.TryLock() {
			return false
		}
		defer x.handle.mu.Unlock()
	}
	switch {
	case x.body.done():
		return true
	case x.body.err != nil || x.response.withheld:
		return false
	}
	return x.body.framing == byChunks || x.body.left <= maxDrain
}

// drainBody reads the rest of the body. False: the connection must close.
func (x *exchange) drainBody() bool {
	if x.body.done() {
		return true
	}
	if x.response.closing || !x.mayDrain() {
		return false
	}
	buf := headBuffers.Get().(*[headBuffer]byte)
	defer headBuffers.Put(buf)
	for dropped := 0; dropped <= maxDrain; {
		n, err := x.body.read(buf[:], nil)
		dropped += n
		if err != nil {
			return err == io.EOF
		}
	}
	return false
}
