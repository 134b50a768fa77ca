package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/sock"
)

// sender sends a request body on a goroutine of its own, so that the caller
// can wait for the response meanwhile. It outlives the exchange when the
// upstream answers early, and even the request, which the server uses again: it
// has its own references to what it needs.
type sender struct {
	wire     *wire
	body     io.ReadCloser
	trailer  http.Header // filled when the body has ended
	timeouts Timeouts
	length   int64 // -1: chunked
	left     int64
	buf      *[copyBuffer]byte
	held     int // bytes at the start of buf that are to be sent first
	start    int // where the piece that was read begins

	done  chan struct{}
	over  atomic.Bool
	wrote atomic.Int64 // bytes, those that are being written included
	ended int64        // when; valid after over
	op    string       // what failed, with err; valid after over
	err   error
}

// startSender sends head, if any, and the body.
func (x *clientExchange) startSender(head []byte) {
	s := &sender{
		wire: &x.conn.wire, body: x.req.Body, trailer: x.req.Trailer, timeouts: x.timeouts,
		length: x.length, left: x.length, done: make(chan struct{}),
	}
	x.sender = s
	x.sent = true
	go s.run(head)
}

func (s *sender) finished() bool { return s.over.Load() }

// failure returns what the sender failed with, if it has.
func (s *sender) failure() (op string, err error) {
	if !s.over.Load() || s.err == nil {
		return "", nil
	}
	return s.op, s.err
}

func (s *sender) run(head []byte) {
	op, err := s.send(head)
	if closeErr := s.body.Close(); err == nil && closeErr != nil {
		op, err = "request body", closeErr
	}
	s.op, s.err, s.ended = op, err, now()
	s.over.Store(true)
	close(s.done)
	if op == "request body" || isTimeout(err) {
		// The upstream must not take what it has for a whole request; and
		// if it takes nothing, its answer is not waited for.
		s.wire.interrupt()
	}
}

// send writes head and body. What of the body is there already leaves in one
// write with the head; before it waits for more, the head is sent.
func (s *sender) send(head []byte) (op string, err error) {
	s.buf = copyBuffers.Get().(*[copyBuffer]byte)
	defer func() { copyBuffers.Put(s.buf) }()
	if len(head) <= len(s.buf)/2 {
		s.held = copy(s.buf[:], head)
	} else if err := s.write(head); err != nil {
		return "write", err
	}
	for {
		if s.mayRelay() {
			if err := s.flush(); err != nil {
				return "write", err
			}
			return s.relay()
		}
		p, err := s.readPiece()
		if len(p) > 0 || err == io.EOF {
			if werr := s.writePiece(len(p), err == io.EOF); werr != nil {
				return "write", werr
			}
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return s.readFailure(err)
		}
	}
}

// flush sends what is held.
func (s *sender) flush() error {
	n := s.held
	s.held = 0
	if err := s.write(s.buf[:n]); err != nil {
		return errWrite{err}
	}
	return nil
}

// errWrite wraps an error of flush, to tell it from one of the body.
type errWrite struct{ error }

func (e errWrite) Unwrap() error { return e.error }

func (s *sender) readFailure(err error) (string, error) {
	var w errWrite
	if errors.As(err, &w) {
		return "write", w.error
	}
	return "request body", err
}

// readPiece reads body bytes behind what is held, leaving room for a chunk
// head before them and the end of the body after them. io.EOF means that the
// body is complete.
func (s *sender) readPiece() (p []byte, err error) {
	body, ours := s.body.(*requestBody)
	if !ours && s.held > 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	s.start = s.held + hexLen
	p = s.buf[s.start : len(s.buf)-len("\r\n0\r\n\r\n")]
	if s.length >= 0 && int64(len(p)) > s.left {
		p = p[:s.left]
	}
	var n int
	if ours {
		body.mu.Lock()
		n, err = body.read(p, s.flush)
		body.mu.Unlock()
	} else {
		n, err = s.body.Read(p)
	}
	return p[:n], s.checkLength(n, err)
}

// checkLength compares what was read with the announced length.
func (s *sender) checkLength(n int, err error) error {
	if s.length < 0 {
		return err
	}
	s.left -= int64(n)
	switch {
	case s.left == 0 && (err == nil || err == io.EOF):
		return io.EOF
	case err == io.EOF:
		return fmt.Errorf("%w: %d bytes missing", io.ErrUnexpectedEOF, s.left)
	}
	return err
}

// writePiece frames the n bytes at start and writes them behind what is still
// held; last ends the body.
func (s *sender) writePiece(n int, last bool) error {
	from, end := s.start, s.start+n
	if s.length < 0 && n > 0 {
		var scratch [hexLen]byte
		size := appendChunkHead(scratch[:0], n)
		from -= len(size)
		copy(s.buf[from:], size)
		end += copy(s.buf[end:], "\r\n")
	}
	if s.held > 0 {
		from -= copy(s.buf[from-s.held:], s.buf[:s.held])
		s.held = 0
	}
	out := s.buf[from:end]
	if s.length < 0 && last {
		out = append(out, "0\r\n"...)
		out = appendRequestTrailer(out, s.trailer)
		out = append(out, "\r\n"...)
	}
	return s.write(out)
}

// appendRequestTrailer writes the trailer section without what must not be in
// one (RFC 9110 6.5.1) or cannot be written.
func appendRequestTrailer(b []byte, t http.Header) []byte {
	for name, values := range t {
		if id := lookupName(name); field.IsToken(name) && !forbiddenTrailer(id, name) {
			b = appendField(b, name, values)
		}
	}
	return b
}

func (s *sender) write(p []byte) error {
	s.wrote.Add(int64(len(p)))
	n, err := s.wire.write(p, s.timeouts.WriteIdle)
	s.wrote.Add(int64(n - len(p)))
	return err
}

// Wrapper is a request body around the one the Server gave, which a handler hands to a Transport in its place. It lets the kernel
// carry what the wrapper has no need to see.
type Wrapper interface {
	// Beneath is the Server's body from the wrapper's place on, or nil while the wrapper must see the bytes.
	Beneath() io.Reader
	// Passed tells of n bytes that went by without the wrapper, and of the error that ended them, if one did.
	Passed(n int64, err error)
}

// beneath is the Server's body, if that is what is to be sent from here on.
func (s *sender) beneath() (body *requestBody, passed func(int64, error)) {
	if body, ours := s.body.(*requestBody); ours {
		return body, func(int64, error) {}
	}
	if w, ok := s.body.(Wrapper); ok {
		body, _ = w.Beneath().(*requestBody)
		return body, w.Passed
	}
	return nil, nil
}

// mayRelay reports whether the rest of the body can go through the kernel.
func (s *sender) mayRelay() bool {
	if !sock.CanSplice || s.length < 0 || s.left < minRelay || s.wire.raw == nil {
		return false
	}
	body, _ := s.beneath()
	if body == nil {
		return false
	}
	body.mu.Lock()
	defer body.mu.Unlock()
	return body.x != nil && body.x.conn.wire.raw != nil && body.x.in.buffered() == 0 && body.x.body.err == nil && !body.closed
}

// relay lets the kernel carry the rest of the body, some at a time so that the
// server can take the body away.
func (s *sender) relay() (op string, err error) {
	body, passed := s.beneath()
	s.wrote.Add(s.left)
	for s.left > 0 {
		n, rerr, werr := body.relay(s.wire, min(s.left, relayPiece), s.timeouts.WriteIdle)
		s.left -= n
		passed(n, rerr)
		if werr != nil {
			return "write", werr
		}
		if rerr != nil && s.left > 0 {
			return "request body", rerr
		}
	}
	return "", nil
}
