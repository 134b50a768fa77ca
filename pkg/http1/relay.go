package http1

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

const (
	minRelay   = 64 << 10 // below this a pipe is not worth its system calls
	relayPiece = 4 << 20  // how much is relayed before others may interfere
)

// idleTimes is how long the two sides of a relay may make no progress.
type idleTimes struct{ read, write time.Duration }

// relay moves n body bytes to dst through the kernel.
func (b *requestBody) relay(dst *wire, n int64, writeIdle time.Duration) (int64, error, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil || b.closed {
		return 0, http.ErrBodyReadAfterClose, nil
	}
	if err := b.x.response.sendContinue(); err != nil {
		return 0, err, nil
	}
	moved, rerr, werr := b.x.body.relay(dst, n, writeIdle)
	if rerr == io.EOF {
		b.x.conn.bodyDone.Store(b.x.in.buffered() == 0)
		rerr = nil
	} else if rerr != nil {
		rerr = bodyError(rerr)
	}
	return moved, rerr, werr
}

// errTorn is the state of a body of which bytes were taken that did not arrive:
// where it goes on is not known, so nothing more is read from its connection.
var errTorn = errors.New("http1: bytes of a body were lost when the other side failed")

// relay moves at most n bytes of a body to dst through the kernel. The read
// error is io.EOF when the body has ended.
func (b *bodyReader) relay(dst *wire, n int64, writeIdle time.Duration) (moved int64, rerr, werr error) {
	if b.err != nil {
		return 0, b.err, nil
	}
	if b.framing == byLength {
		n = min(n, b.left)
	}
	moved, rerr, werr = splice(dst, b.wire, n, idleTimes{b.idle, writeIdle})
	if b.framing == byLength {
		b.left -= moved
		if rerr == nil && b.left == 0 {
			rerr = io.EOF
		} else if errors.Is(rerr, io.EOF) && b.left > 0 {
			rerr = io.ErrUnexpectedEOF
		}
	}
	b.err = rerr
	if werr != nil {
		b.err = errTorn
	}
	return moved, rerr, werr
}

// ReadFrom copies a body to the client. From a body of [Transport] it sends
// what it has, the head included, before the source makes it wait, and lets
// the kernel carry the rest where both sides are plain sockets and the
// framing allows. From any other source it sends what each Read returned; the
// head leaves with the first bytes, so Flush before if they may take long.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	if w.x == nil || w.x.conn.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	body, ours := src.(*responseBody)
	var total int64
	for {
		if ours && w.mayRelay(body) {
			if err := w.flush(); err != nil {
				return total, err
			}
			n, err := w.relay(body)
			w.aborted = w.aborted || err != nil
			return total + n, err
		}
		n, err := w.readPiece(src, body)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			// Whatever the handler does now, the client must not take
			// this for a whole response.
			w.aborted = w.aborted || ours && w.err == nil
			return total, err
		}
	}
}

// readPiece reads once into the free part of the buffer.
func (w *response) readPiece(src io.Reader, body *responseBody) (n int, err error) {
	if w.bodyless {
		return w.discardPiece(src)
	}
	room := w.room()
	if room < 512 {
		if err := w.flush(); err != nil {
			return 0, err
		}
		w.enlarge()
		room = w.room()
	}
	free := w.buf[len(w.buf) : len(w.buf)+room]
	if body != nil {
		n, err = body.read(free, w.flushHook)
		// The hook may have emptied the buffer; the bytes are where
		// they were read.
		if n > 0 {
			w.placeAfterHook(free[:n])
		}
	} else {
		n, err = src.Read(free)
		w.buf = w.buf[:len(w.buf)+n]
	}
	if aerr := w.accept(n); aerr != nil {
		w.buf = w.buf[:len(w.buf)-n]
		return 0, aerr
	}
	if body == nil && n > 0 && err == nil && !w.whole() {
		if ferr := w.flush(); ferr != nil {
			return n, ferr
		}
		w.enlarge()
	}
	return n, err
}

// placeAfterHook takes body bytes that were read into free space of the
// buffer into the body. If the buffer was flushed meanwhile they are moved to
// its start, behind the gap of a chunk.
func (w *response) placeAfterHook(p []byte) {
	w.room() // makes the gap if the buffer was flushed
	w.buf = append(w.buf, p...)
}

// whole reports whether the announced length is reached, so that the bytes
// can wait for the end of the response.
func (w *response) whole() bool { return w.declared >= 0 && w.written == w.declared }

func (w *response) discardPiece(src io.Reader) (int, error) {
	buf := headBuffers.Get().(*[headBuffer]byte)
	defer headBuffers.Put(buf)
	n, err := src.Read(buf[:])
	w.written += int64(n)
	return n, err
}

// enlarge changes the buffer, which must be empty, for a copy buffer.
func (w *response) enlarge() {
	if len(w.buf) == 0 && cap(w.buf) < copyBuffer && w.sent {
		w.shrink()
		w.buf = copyBuffers.Get().(*[copyBuffer]byte)[:0]
	}
}

// shrink gives back the buffer of whatever size.
func (w *response) shrink() {
	switch cap(w.buf) {
	case headBuffer:
		headBuffers.Put((*[headBuffer]byte)(w.buf[:headBuffer]))
	case copyBuffer:
		copyBuffers.Put((*[copyBuffer]byte)(w.buf[:copyBuffer]))
	}
	w.buf = nil
}

// mayRelay reports whether the rest of the body can go through the kernel:
// plain sockets, no coding on either side, nothing of it read ahead, and enough
// of it. A head that was not sent yet must announce the length, since chunked
// is chosen otherwise.
func (w *response) mayRelay(body *responseBody) bool {
	if !sock.CanSplice || !w.sent && w.declared < 0 || w.bodyless || w.framing == byChunks || w.x.conn.wire.raw == nil {
		return false
	}
	body.mu.Lock()
	defer body.mu.Unlock()
	x := body.x
	if x == nil || x.conn == nil || x.conn.wire.raw == nil || x.in.buffered() > 0 || x.body.err != nil {
		return false
	}
	if !w.sent && x.conn.wire.glance() != sock.Ready {
		return false // what fails before its first bytes is not begun
	}
	switch x.body.framing {
	case byLength:
		return x.body.left >= minRelay && (w.declared < 0 || x.body.left <= w.declared-w.written)
	case byClose:
		return w.declared < 0
	}
	return false
}

// relay lets the kernel carry the rest of the body.
func (w *response) relay(body *responseBody) (total int64, err error) {
	for {
		n, rerr, werr := body.relay(&w.x.conn.wire, w.x.conn.server.timeouts.WriteIdle)
		total += n
		w.written += n
		switch {
		case werr != nil:
			w.err = werr
			return total, werr
		case rerr == io.EOF:
			return total, nil
		case rerr != nil:
			return total, rerr
		}
	}
}

func (b *responseBody) relay(dst *wire, writeIdle time.Duration) (int64, error, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil {
		return 0, http.ErrBodyReadAfterClose, nil
	}
	n, rerr, werr := b.x.body.relay(dst, relayPiece, writeIdle)
	if rerr != nil {
		rerr = b.x.endBody(rerr)
	}
	return n, rerr, werr
}
