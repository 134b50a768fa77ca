package http2

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// body is Request.Body. Each request has its own, since a handler may leave
// somebody reading it. The connection's lock guards all of it. Errors that are
// the client's fault are http1's, so that a handler need not know the version.
type body struct {
	conn     *conn
	id       uint32
	st       *stream // nil when the handler has returned
	wake     sync.Cond
	buffered []byte
	at       int
	held     int // bytes of window that the client has used
	credit   int // of those, bytes to give back
	received int64
	length   int64 // as announced; -1: not
	err      error // what comes after the buffered bytes
	over     bool  // no more window is given
	trailer  http.Header
	touched  bool // read at least once
	closed   bool // closed after that
	patient  bool // see Server.Patient
	expired  bool // the read deadline has passed
}

func newBody(c *conn, st *stream) *body {
	b := &body{conn: c, id: st.id, st: st, length: -1}
	b.wake.L = &c.mu
	return b
}

func (b *body) append(p []byte) {
	if len(p) == 0 {
		return
	}
	// Read bytes make room for new ones rather than the buffer growing, unless there are so few that much would be moved for it.
	if b.at == len(b.buffered) || len(b.buffered)+len(p) > cap(b.buffered) && b.at >= cap(b.buffered)/4 {
		b.buffered, b.at = b.buffered[:copy(b.buffered, b.buffered[b.at:])], 0
	}
	b.buffered = append(b.buffered, p...)
	b.wake.Broadcast()
}

// end is for END_STREAM. Trailers appear in the request when the reader gets there.
func (b *body) end(trailer http.Header) {
	b.trailer, b.over = trailer, true
	b.stop(io.EOF)
}

func (b *body) fail(err error) {
	b.over = true
	b.stop(&http1.BodyError{Status: http.StatusBadRequest, Reason: "short-body", Err: err})
}

func (b *body) stop(err error) {
	if b.err == nil {
		b.err = err
	}
	b.wake.Broadcast()
}

// drop gives the connection's window of unread bytes back.
func (b *body) drop(c *conn) {
	b.over = true
	if !errors.Is(b.err, io.EOF) {
		c.giveBack(nil, len(b.buffered)-b.at)
		b.buffered, b.at = nil, 0
	}
}

// detach takes the body from whoever may still be reading it.
func (b *body) detach() {
	b.st = nil
	b.conn.giveBack(nil, len(b.buffered)-b.at)
	b.buffered, b.at = nil, 0
	b.err = http.ErrBodyReadAfterClose
	b.wake.Broadcast()
}

// Read implements io.Reader. The first one sends "100 Continue" if the client waits for it.
func (b *body) Read(p []byte) (int, error) {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.st != nil && b.st.response.expected {
		b.st.response.expected = false
		c.appendHeaders(b.st, []byte{0x08, 3, '1', '0', '0'}, false)
		c.flush(false)
	}
	if b.touched = true; b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.at == len(b.buffered) && b.err == nil && !b.expired {
		b.wait()
	}
	switch {
	case b.expired:
		return 0, &http1.BodyError{Status: http.StatusRequestTimeout, Reason: "body-timeout", Err: os.ErrDeadlineExceeded}
	case b.at < len(b.buffered):
		n := copy(p, b.buffered[b.at:])
		b.at += n
		c.giveBack(b, n)
		c.flush(false)
		return n, nil
	}
	if errors.Is(b.err, io.EOF) && b.st != nil {
		for name, values := range b.trailer {
			if _, announced := b.st.req.Trailer[name]; announced {
				b.st.req.Trailer[name] = values
			}
		}
		b.trailer = nil
	}
	return 0, b.err
}

func (b *body) wait() {
	expired := false
	if !b.patient {
		timer := time.AfterFunc(b.conn.server.timeouts.BodyIdle, func() {
			b.conn.mu.Lock()
			expired = true
			b.conn.mu.Unlock()
			b.wake.Broadcast()
		})
		defer timer.Stop()
	}
	for b.at == len(b.buffered) && b.err == nil && !b.expired {
		if expired {
			b.expired = true
			break
		}
		b.wake.Wait()
	}
}

// Close makes later reads fail, unless nothing was read: a body that was closed
// by a transport that could not even connect may be sent elsewhere.
func (b *body) Close() error {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.closed = b.closed || b.touched
	return nil
}
