package http1

import (
	"io"
	"net/http"
	"strconv"

	"github.com/usher-ingress/usher/pkg/field"
)

// Write sends body bytes, buffered until the buffer is full, Flush is called
// or the handler returns. It returns http.ErrBodyNotAllowed where there is no
// body and http.ErrContentLength beyond the announced length.
func (w *response) Write(p []byte) (int, error) {
	if w.x == nil || w.x.conn.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if err := w.accept(len(p)); err != nil {
		return 0, err
	}
	if w.bodyless {
		return len(p), nil
	}
	return w.writeBody(p)
}

// WriteString is Write.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// accept counts body bytes against what may be sent.
func (w *response) accept(n int) error {
	if n == 0 {
		return w.err
	}
	if w.bodyless && w.x.req.Method != "HEAD" {
		return http.ErrBodyNotAllowed
	}
	if w.declared >= 0 && w.written+int64(n) > w.declared {
		return http.ErrContentLength
	}
	w.written += int64(n)
	return w.err
}

func (w *response) writeBody(p []byte) (n int, err error) {
	for len(p) > 0 {
		if w.sent && w.framing != byChunks && len(w.buf) == 0 && len(p) >= headBuffer {
			w.write(p)
			return n + len(p), w.err
		}
		m := min(len(p), w.room())
		w.buf = append(w.buf, p[:m]...)
		n += m
		p = p[m:]
		if len(p) > 0 {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, w.err
}

// room is how many body bytes fit the buffer before it must be flushed: the
// end of a chunk and the last chunk are kept free.
func (w *response) room() int {
	if w.sent && len(w.buf) == 0 && w.framing == byChunks {
		w.buf = appendGap(w.buf)
	}
	return max(cap(w.buf)-len(w.buf)-len("\r\n0\r\n\r\n"), 0)
}

// flush sends the head, if it is due, and the buffered body.
func (w *response) flush() error {
	if w.err != nil || w.x.conn.hijacked {
		return w.err
	}
	if !w.sent {
		w.decideFraming(false)
		w.sendBuffer(false)
		return w.err
	}
	if len(w.buf) > 0 {
		w.sendBuffer(false)
	}
	return w.err
}

// decideFraming chooses how the client finds the end of the body (RFC 9112
// 6.3). complete: the handler is done and the whole body is in the buffer.
func (w *response) decideFraming(complete bool) {
	switch {
	case w.bodyless:
		w.framing = noBody
		if complete && w.declared < 0 && w.written > 0 && w.status != 304 {
			w.declared = w.written
		}
	case w.declared >= 0:
		w.framing = byLength
	case complete && len(w.trailers) == 0 && !w.hasPrefixedTrailer():
		w.framing, w.declared = byLength, w.written
	case w.x.head.minor == 0:
		w.framing, w.closing = byClose, true
	default:
		w.framing = byChunks
	}
	if !w.closing && (w.x.conn.lastRequest() || !w.x.mayDrain()) {
		w.closing = true
	}
}

func (w *response) hasPrefixedTrailer() bool {
	for name := range w.header {
		if len(name) > len(http.TrailerPrefix) && name[:len(http.TrailerPrefix)] == http.TrailerPrefix {
			return w.x.head.minor > 0
		}
	}
	return false
}

// sendBuffer writes the buffer: head and framing if they have not been sent,
// then the body bytes as they are or as one chunk. last ends the body.
func (w *response) sendBuffer(last bool) {
	body := len(w.buf)
	start := 0
	var scratch [128]byte
	frame := scratch[:0]
	chunkGap := w.sent && w.framing == byChunks && body > 0
	if !w.sent {
		body -= w.headLen + gap
		frame = w.appendFraming(frame)
	} else if chunkGap {
		body -= gap
	}
	if w.framing == byChunks && body > 0 {
		frame = appendChunkHead(frame, body)
		w.buf = append(w.buf, "\r\n"...)
	}
	if !w.sent {
		start = w.joinHead(frame)
	} else if chunkGap {
		start = gap - len(frame)
		copy(w.buf[start:], frame)
	}
	if last && w.framing == byChunks {
		w.buf = append(w.buf, "0\r\n"...)
		w.buf = w.appendTrailers(w.buf)
		w.buf = append(w.buf, "\r\n"...)
	}
	w.sent = true
	w.write(w.buf[start:])
	w.buf = w.buf[:0]
}

// joinHead puts the framing at the end of the gap and the head before it, and
// returns where the message starts.
func (w *response) joinHead(frame []byte) int {
	if len(frame) > gap {
		// Connection fields made it long: make room the slow way.
		grown := make([]byte, 0, len(w.buf)+len(frame))
		grown = append(grown, w.buf[:w.headLen]...)
		grown = append(grown, frame...)
		w.buf = append(grown, w.buf[w.headLen+gap:]...)
		return 0
	}
	start := gap - len(frame)
	copy(w.buf[start:], w.buf[:w.headLen])
	copy(w.buf[start+w.headLen:], frame)
	return start
}

// appendFraming writes the fields that belong to the connection and the empty
// line.
func (w *response) appendFraming(b []byte) []byte {
	switch {
	case w.framing == byChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case w.declared >= 0 && w.status != 204 && w.status != 101:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, w.declared, 10)
		b = append(b, "\r\n"...)
	}
	b = w.appendConnection(b)
	return append(b, "\r\n"...)
}

func (w *response) appendConnection(b []byte) []byte {
	if w.status == http.StatusSwitchingProtocols || w.status == http.StatusUpgradeRequired {
		if upgrade := w.header["Upgrade"]; len(upgrade) > 0 {
			b = appendField(b, "Upgrade", upgrade[:1])
			if w.status == http.StatusSwitchingProtocols || !w.closing {
				return append(b, "Connection: Upgrade\r\n"...)
			}
			return append(b, "Connection: Upgrade, close\r\n"...)
		}
	}
	switch {
	case w.closing:
		b = append(b, "Connection: close\r\n"...)
	case w.x.head.minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return b
}

// finish completes the response after the handler returned and reports
// whether the connection can be used again.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.x.conn.clearOwnDeadlines()
	if w.aborted {
		w.breakOff()
		w.err = errAborted
		return false
	}
	if !w.sent {
		w.decideFraming(true)
		w.sendBuffer(true)
	} else if len(w.buf) > 0 || w.framing == byChunks {
		w.sendBuffer(true)
	}
	if w.declared >= 0 && !w.bodyless && w.written < w.declared {
		w.err = io.ErrShortWrite // closing shows the client that it is short
	}
	return w.err == nil && !w.closing && w.status != 101
}

// abort handles a panic. False: the response was begun or must look broken,
// so the connection is to be reset; else a 500 replaces it.
func (w *response) abort() bool {
	if w.x.conn.hijacked || w.sent || w.aborted {
		return false
	}
	clear(w.header)
	w.status, w.declared, w.written, w.closing = 0, -1, 0, true
	w.WriteHeader(http.StatusInternalServerError)
	return true
}

// Retract takes back a response of which nothing has left yet, and reports whether it could: then another one may be written.
func (w *response) Retract() bool {
	if w.x == nil || w.x.conn.hijacked || w.sent || w.err != nil {
		return false
	}
	clear(w.header)
	w.buf, w.headLen, w.status, w.framing = w.buf[:0], 0, 0, noBody
	w.declared, w.written, w.trailers = -1, 0, nil
	w.bodyless, w.aborted = false, false
	return true
}

// breakOff makes the client see that the response is not complete: where the
// end of the connection would end the body, by a reset.
func (w *response) breakOff() {
	if w.framing == byClose && w.sent {
		w.x.conn.wire.breakOff()
	}
}

// refuse answers a request that did not become one.
func (w *response) refuse(x *exchange, e *ProtocolError) error {
	w.start(x)
	w.closing = true
	x.head.minor, x.head.expects, w.expecting = 1, false, false
	x.body.start(noBody, 0)
	var body []byte
	if h := x.conn.server.ErrorHandler; h != nil {
		body = h(w.header, &x.req, e)
	}
	if e.Status == http.StatusMethodNotAllowed {
		w.header["Allow"] = []string{field.Methods}
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
	w.finish()
	return w.err
}
