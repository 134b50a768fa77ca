package http2

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// tunnel is the stream of an extended CONNECT (RFC 8441) as a connection. What
// goes for the end of a TCP connection goes for the stream: END_STREAM closes
// one direction, RST_STREAM both. It ends with the handler at the latest.
type tunnel struct {
	w *response
	b *body // nil if the client ended its direction with the request

	ended bool // our direction; the connection's lock guards it
}

// Tunnel accepts an extended CONNECT with the head that was written, or with
// 200, and returns its stream as a connection. The handler sees such a request
// as HTTP/1.1 has it, as GET with the fields Connection and Upgrade; if it
// answers in another way, with a status of 3xx or above, the client knows that
// it was refused. Other requests give [http.ErrNotSupported].
func (w *response) Tunnel() (net.Conn, error) {
	if w.st.extended == "" || w.tunnel != nil {
		return nil, http.ErrNotSupported
	}
	if w.st.body != nil {
		w.st.conn.mu.Lock()
		w.st.body.patient = true
		w.st.conn.mu.Unlock()
	}
	if err := w.FlushError(); err != nil {
		return nil, err
	}
	w.tunnel = &tunnel{w: w, b: w.st.body}
	w.st.conn.mu.Lock()
	w.st.conn.useful++ // whoever ends it how: it was wanted
	w.st.conn.mu.Unlock()
	return w.tunnel, nil
}

// Read implements net.Conn.
func (t *tunnel) Read(p []byte) (int, error) {
	if t.b == nil {
		return 0, io.EOF
	}
	n, err := t.b.Read(p)
	var broken *http1.BodyError
	if errors.As(err, &broken) {
		err = broken.Err
	}
	return n, err
}

// Write implements net.Conn.
func (t *tunnel) Write(p []byte) (int, error) {
	c := t.w.st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.ended {
		return 0, net.ErrClosed
	}
	if err := c.send(t.w.st, p, false); err != nil {
		return 0, err
	}
	c.flush(true)
	return len(p), t.w.st.dead
}

// CloseWrite ends our direction.
func (t *tunnel) CloseWrite() error {
	c := t.w.st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.ended || t.w.st.dead != nil {
		return t.w.st.dead
	}
	t.ended = true
	err := c.send(t.w.st, nil, true)
	c.flush(true)
	return err
}

// Close ends both. A direction that was still open is reset, which says that the end is not an orderly one.
func (t *tunnel) Close() error {
	c, st := t.w.st.conn, t.w.st
	c.mu.Lock()
	open := st.dead == nil && !(t.ended && st.ended)
	c.mu.Unlock()
	if open {
		st.abort(codeCancel, net.ErrClosed)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (t *tunnel) LocalAddr() net.Addr { return t.w.st.conn.net.LocalAddr() }

// RemoteAddr implements net.Conn.
func (t *tunnel) RemoteAddr() net.Addr { return t.w.st.conn.net.RemoteAddr() }

// SetDeadline implements net.Conn.
func (t *tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

// SetReadDeadline implements net.Conn.
func (t *tunnel) SetReadDeadline(at time.Time) error { return t.w.SetReadDeadline(at) }

// SetWriteDeadline implements net.Conn, but for times to come: how long a write may take is bounded by Timeouts.WriteIdle.
func (t *tunnel) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		t.w.st.abort(codeCancel, os.ErrDeadlineExceeded)
	}
	return nil
}
