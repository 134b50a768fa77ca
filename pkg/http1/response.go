package http1

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/field"
)

// response is the http.ResponseWriter.
//
// The head is rendered when WriteHeader is called, so that later changes of
// the header map do not show; but which framing the body has is decided when
// the buffer is first flushed, because a response that fits the buffer gets a
// Content-Length. Therefore a gap is kept:
//
//	buf = status line and fields | gap | body
//
// On the first flush the framing goes to the end of the gap and the head is
// moved up against it: head and first body bytes leave in one write.
type response struct {
	x         *exchange
	header    http.Header
	passed    http.Header  // of WriteHeaderWith, while it runs
	flushHook func() error // flush, made once

	buf     []byte
	headLen int  // bytes of status line and fields at the start of buf
	sent    bool // the head has left

	status   int
	framing  framing
	declared int64 // Content-Length set by the handler, or -1
	written  int64 // body bytes accepted from the handler
	err      error // of the connection; nothing more is written

	bodyless  bool // HEAD, 204, 304: no body whatever the fields say
	closing   bool // the connection ends after this response
	aborted   bool // the handler wants the client to see a broken response
	withheld  bool // the final response came before any 100 Continue
	expecting bool // 100 Continue is still to be sent; under expectMu
	trailers  []string

	expectMu sync.Mutex // orders 100 Continue and the final head
}

// gap is room for "Transfer-Encoding: chunked", the empty line and a chunk
// head, or for "Content-Length: " and 19 digits.
const gap = 56

func (w *response) start(x *exchange) {
	w.x = x
	if len(w.header) > keepFields {
		w.header = make(http.Header, 8)
	}
	clear(w.header)
	if w.buf == nil {
		w.buf = headBuffers.Get().(*[headBuffer]byte)[:0]
	}
	w.buf = w.buf[:0]
	w.headLen, w.sent, w.status, w.framing = 0, false, 0, noBody
	w.declared, w.written, w.err = -1, 0, nil
	w.bodyless, w.aborted, w.withheld = false, false, false
	w.closing = x.req.Close
	w.expecting = x.head.expects
	w.trailers = nil
}

// release drops what an idle exchange should not hold.
func (w *response) release() {
	w.x, w.err, w.trailers = nil, nil, nil
	if cap(w.buf) != headBuffer {
		w.shrink()
	}
	clear(w.header)
}

// Header returns the fields of the response; it may be used again for
// trailers. Names are expected in canonical form.
func (w *response) Header() http.Header { return w.header }

// WriteHeader starts the response. A status of 100 to 199 except 101 sends an
// informational response at once, and the final one is still to come.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("http1: invalid status code")
	}
	if w.status != 0 {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	w.status = status
	if w.x.head.expects {
		w.expectMu.Lock()
		w.withheld, w.expecting = w.expecting, false
		w.expectMu.Unlock()
	}
	w.bodyless = w.x.req.Method == "HEAD" || status == 204 || status == 304 || status == 101
	w.renderHead()
}

// WriteHeaderWith is WriteHeader for a response whose fields are at hand in
// another map, a proxied one's: they are written besides those of Header, and
// the map is not kept. Names are expected in canonical form.
func (w *response) WriteHeaderWith(status int, h http.Header) {
	w.passed = h
	w.WriteHeader(status)
	w.passed = nil
}

// inform sends an informational response. HTTP/1.0 has none (RFC 9110 15.2).
func (w *response) inform(status int) {
	if w.x.head.minor == 0 || w.err != nil {
		return
	}
	if status == http.StatusContinue {
		_ = w.sendContinue()
		return
	}
	w.expectMu.Lock()
	defer w.expectMu.Unlock()
	b := appendStatusLine(w.buf[:0], status)
	b = appendFields(b, w.header, fieldFilter{}, &noted{})
	b = append(b, "\r\n"...)
	w.write(b)
	w.buf = w.buf[:0]
}

// sendContinue tells a waiting client to send its body, unless the final
// head was first.
func (w *response) sendContinue() error {
	if !w.x.head.expects {
		return nil
	}
	w.expectMu.Lock()
	defer w.expectMu.Unlock()
	if !w.expecting {
		return nil
	}
	w.expecting = false
	_, err := w.x.conn.wire.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"), w.x.conn.server.timeouts.WriteIdle)
	return err
}

// write sends bytes and remembers the first failure.
func (w *response) write(p []byte) {
	if w.err == nil && len(p) > 0 {
		_, w.err = w.x.conn.wire.write(p, w.x.conn.server.timeouts.WriteIdle)
	}
}

// Flush sends what is buffered.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.flush()
}

// SetReadDeadline is for http.ResponseController. Until the handler returns
// it replaces the body timeout; the zero time is no limit.
func (w *response) SetReadDeadline(t time.Time) error {
	w.x.conn.wire.ownRead.Store(true)
	return w.x.conn.wire.conn.SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController. Until the handler returns
// it replaces the write timeout; the zero time is no limit.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.x.conn.wire.ownWrite.Store(true)
	return w.x.conn.wire.conn.SetWriteDeadline(t)
}

// EnableFullDuplex is for http.ResponseController. The request body can
// always be read while the response is written.
func (w *response) EnableFullDuplex() error { return nil }

// Hijack hands the connection over. The reader holds the bytes that were read
// already; deadlines are cleared, and buffers given back. The connection is the plain socket if it is
// one, so that bytes can go through the kernel.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.x.conn
	if c.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 {
		if err := w.flush(); err != nil {
			return nil, nil, err
		}
	}
	conn, err := c.giveAway()
	if err != nil {
		return nil, nil, err
	}
	w.x.detachBody()
	early := append([]byte(nil), w.x.in.bytes()...)
	w.x.in.drop() // a tunnel may rest for hours
	giveBack(w.buf)
	w.buf = nil
	r := bufio.NewReaderSize(&prefixed{early, conn}, max(len(early), 512))
	if len(early) > 0 {
		_, _ = r.Peek(len(early))
	}
	return conn, bufio.NewReadWriter(r, bufio.NewWriterSize(conn, 512)), nil
}

// prefixed reads bytes that were taken off a connection before the rest.
type prefixed struct {
	early []byte
	conn  net.Conn
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.early) == 0 {
		return p.conn.Read(b)
	}
	n := copy(b, p.early)
	p.early = p.early[n:]
	return n, nil
}

// trailerNames reads the handler's Trailer field.
func trailerNames(lists []string) []string {
	var names []string
	for _, list := range lists {
		for list != "" {
			var name string
			name, list = nextElement(list)
			if !field.IsToken(name) {
				continue
			}
			if c, id := canonicalName(name); !forbiddenTrailer(id, c) {
				names = append(names, c)
			}
		}
	}
	return names
}

// appendTrailers writes the trailer section: announced fields and those with
// http.TrailerPrefix.
func (w *response) appendTrailers(b []byte) []byte {
	for _, name := range w.trailers {
		b = appendField(b, name, w.header[name])
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && field.IsToken(name) {
			if c, id := canonicalName(name); !forbiddenTrailer(id, c) {
				b = appendField(b, c, values)
			}
		}
	}
	return b
}
