package http2

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// response is the http.ResponseWriter. Small answers leave as one HEADERS and
// one DATA frame, when the handler returns.
type response struct {
	st       *stream
	header   http.Header
	status   int    // 0 until WriteHeader
	block    []byte // the encoded head
	sent     bool   // it went out
	length   int64  // Content-Length; -1 without
	written  int64
	buf      []byte
	small    []byte // the buffer that a larger one stands for
	trailers []string
	expected bool // the client waits for 100 Continue
	err      error

	tunnel *tunnel // once Tunnel has made the stream one

	flushHook func() error // FlushError, made once
}

const (
	responseBuffer = 4 << 10
	copyBuffer     = 32 << 10 // for bodies that do not fit
)

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

func (w *response) begin() { w.length = -1 }

func (w *response) end() {
	clear(w.header)
	if cap(w.block) > 4<<10 {
		w.block = nil
	}
	w.shrink()
	*w = response{st: w.st, header: w.header, block: w.block[:0], buf: w.buf[:0], flushHook: w.flushHook}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. 1xx are sent at once; any other is the head, and later ones are ignored.
func (w *response) WriteHeader(status int) { w.WriteHeaderWith(status, nil) }

// WriteHeaderWith is WriteHeader for a response whose fields are at hand in
// another map, a proxied one's: they are sent besides those of Header, and the
// map is not kept. Names are expected in canonical form.
func (w *response) WriteHeaderWith(status int, passed http.Header) {
	if status < 100 || status > 999 {
		panic("http2: invalid WriteHeader code " + strconv.Itoa(status))
	}
	if w.status != 0 {
		return
	}
	if status < 200 {
		w.inform(status)
		return
	}
	w.status = status
	w.announce()
	if status == http.StatusNoContent || w.st.extended != "" && status < 300 { // RFC 9110 section 8.6
		delete(w.header, "Content-Length")
		delete(passed, "Content-Length")
	}
	w.measure(w.header)
	w.measure(passed)
	w.block = appendStatus(w.block[:0], status)
	w.block = appendHeader(w.block, w.header, w.isTrailer())
	w.block = appendHeader(w.block, passed, nil)
	if w.header["Date"] == nil && passed["Date"] == nil {
		w.block = appendDate(w.block)
	}
}

// measure takes the length of the body from the fields, or what is none out of them.
func (w *response) measure(h http.Header) {
	lengths := h["Content-Length"]
	if len(lengths) == 0 {
		return
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil || len(lengths) > 1 || w.length >= 0 {
		delete(h, "Content-Length")
		return
	}
	w.length = int64(n)
}

func (w *response) inform(status int) {
	if status == http.StatusSwitchingProtocols {
		return // there is no such thing in HTTP/2
	}
	block := appendHeader(appendStatus(nil, status), w.header, func(name string) bool { return name == "Content-Length" })
	c := w.st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if status == http.StatusContinue {
		w.expected = false
	}
	if w.st.dead == nil {
		c.appendHeaders(w.st, block, false)
		c.flush(false)
	}
}

// announce notes which fields are trailers.
func (w *response) announce() {
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" && sendable(name) && name != "Content-Length" {
				w.trailers = append(w.trailers, name)
			}
		}
	}
	if len(w.trailers) > 0 {
		w.block = w.block[:0]
	}
}

func (w *response) isTrailer() func(string) bool {
	if len(w.trailers) == 0 {
		return nil
	}
	return func(name string) bool {
		for _, t := range w.trailers {
			if t == name {
				return true
			}
		}
		return false
	}
}

// bodiless reports whether the answer has no body, whatever the handler writes.
func (w *response) bodiless() bool {
	return w.st.req.Method == http.MethodHead || w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if err := w.accept(len(p)); err != nil {
		return 0, err
	}
	if w.bodiless() {
		return len(p), nil
	}
	if len(w.buf)+len(p) <= max(cap(w.buf), responseBuffer) {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if err := w.push(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// accept counts body bytes against what may be sent.
func (w *response) accept(n int) error {
	switch {
	case w.err != nil || n == 0:
		return w.err
	case w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(n) > w.length:
		return http.ErrContentLength
	}
	w.written += int64(n)
	return nil
}

// push sends head, buffered bytes and p.
func (w *response) push(p []byte, end bool) error {
	c := w.st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	w.expected = false
	if w.st.dead != nil {
		w.err = w.st.dead
		return w.err
	}
	empty := len(w.buf)+len(p) == 0
	if !w.sent {
		w.sent = true
		c.appendHeaders(w.st, w.block, end && empty)
		if end && empty {
			return nil
		}
	}
	if len(w.buf) > 0 {
		w.err = c.send(w.st, w.buf, end && len(p) == 0)
		w.buf = w.buf[:0]
		if w.err != nil {
			return w.err
		}
	}
	if len(p) > 0 || end && empty {
		w.err = c.send(w.st, p, end)
	}
	if !end {
		c.flush(true)
	}
	return w.err
}

// finish ends the answer when the handler has returned.
func (w *response) finish() {
	if w.tunnel != nil {
		_ = w.tunnel.Close()
		return
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		w.st.abort(codeInternal, w.err)
		return
	}
	if w.length >= 0 && w.written < w.length && !w.bodiless() {
		w.st.abort(codeInternal, errStreamAborted) // the client must not take it for whole
		return
	}
	if !w.sent && w.length < 0 && !w.bodiless() {
		w.block = appendString(appendInteger(w.block, 0, 4, 28), strconv.Itoa(len(w.buf)))
	}
	trailer := w.trailer()
	if w.push(nil, trailer == nil) != nil || trailer == nil {
		return
	}
	c := w.st.conn
	c.mu.Lock()
	if w.st.dead == nil {
		c.appendHeaders(w.st, trailer, true)
	}
	c.mu.Unlock()
}

// trailer encodes the trailer section; nil without one.
func (w *response) trailer() (block []byte) {
	for _, name := range w.trailers {
		for _, value := range w.header[name] {
			block = appendField(block, name, clean(value))
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			if name = http.CanonicalHeaderKey(name); sendable(name) {
				for _, value := range values {
					block = appendField(block, name, clean(value))
				}
			}
		}
	}
	return block
}

// Retract takes back a response of which nothing has left yet, and reports whether it could: then another one may be written.
func (w *response) Retract() bool {
	if w.sent || w.err != nil || w.tunnel != nil {
		return false
	}
	clear(w.header)
	w.status, w.length, w.written, w.trailers = 0, -1, 0, nil
	w.block, w.buf = w.block[:0], w.buf[:0]
	return true
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController looks for.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return w.err
	}
	return w.push(nil, false)
}

// EnableFullDuplex is what http.ResponseController looks for; HTTP/2 is.
func (w *response) EnableFullDuplex() error { return nil }

// SetReadDeadline is what http.ResponseController looks for.
func (w *response) SetReadDeadline(t time.Time) error {
	st, c := w.st, w.st.conn
	b := st.body
	if b == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b.expired = false
	st.readBy = arm(st.readBy, t, func() {
		c.mu.Lock()
		b.expired = true
		c.mu.Unlock()
		b.wake.Broadcast()
	})
	return nil
}

// SetWriteDeadline is what http.ResponseController looks for. As in net/http, a stream whose deadline passes is reset.
func (w *response) SetWriteDeadline(t time.Time) error {
	st, c, id := w.st, w.st.conn, w.st.id
	c.mu.Lock()
	defer c.mu.Unlock()
	st.writeBy = arm(st.writeBy, t, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.streams[id] != st {
			return
		}
		c.out = appendUint32Frame(c.out, frameReset, id, uint32(codeCancel))
		c.resets++
		c.remove(st, true)
		st.kill(os.ErrDeadlineExceeded)
		c.flush(false)
	})
	return nil
}

// arm replaces a timer. A zero t is never.
func arm(old *time.Timer, t time.Time, f func()) *time.Timer {
	if old != nil {
		old.Stop()
	}
	if t.IsZero() {
		return nil
	}
	return time.AfterFunc(time.Until(t), f)
}
