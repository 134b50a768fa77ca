package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
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

	done  chan struct{}
	over  atomic.Bool
	ended int64  // when; valid after over
	op    string // what failed, with err; valid after over
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
	if op == "request body" {
		// The upstream must not take what it has for a whole request.
		s.wire.interrupt()
	}
}

// send writes head and body. What of the body is there already leaves in one
// write with the head; before it waits for more, the head is sent.
func (s *sender) send(head []byte) (op string, err error) {
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	held := 0
	if len(head) <= len(buf)/2 {
		held = copy(buf[:], head)
	} else if err := s.write(head); err != nil {
		return "write", err
	}
	flush := func() error {
		n := held
		held = 0
		return s.write(buf[:n])
	}
	for {
		if s.mayRelay() {
			if err := flush(); err != nil {
				return "write", err
			}
			return s.relay()
		}
		n, start, err := s.readPiece(buf, &held, flush)
		if n > 0 || err == io.EOF {
			if op, werr := s.writePiece(buf, start, &held, n, err == io.EOF); werr != nil {
				return op, werr
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
func (s *sender) readPiece(buf *[copyBuffer]byte, held *int, flush func() error) (n, start int, err error) {
	before := func() error {
		if err := flush(); err != nil {
			return errWrite{err}
		}
		return nil
	}
	body, ours := s.body.(*requestBody)
	if !ours && *held > 0 {
		if err := before(); err != nil {
			return 0, 0, err
		}
	}
	start = *held + hexLen
	p := buf[start : len(buf)-len("\r\n0\r\n\r\n")]
	if s.length >= 0 && int64(len(p)) > s.left {
		p = p[:s.left]
	}
	if ours {
		body.mu.Lock()
		n, err = body.read(p, before)
		body.mu.Unlock()
	} else {
		n, err = s.body.Read(p)
	}
	return n, start, s.checkLength(n, &err)
}

// checkLength compares what was read with the announced length.
func (s *sender) checkLength(n int, err *error) error {
	if s.length < 0 {
		return *err
	}
	s.left -= int64(n)
	switch {
	case s.left == 0 && (*err == nil || *err == io.EOF):
		return io.EOF
	case *err == io.EOF:
		return fmt.Errorf("%w: %d bytes missing", io.ErrUnexpectedEOF, s.left)
	}
	return *err
}

// writePiece frames n bytes at buf[start:] and writes them behind what is
// still held.
func (s *sender) writePiece(buf *[copyBuffer]byte, start int, held *int, n int, last bool) (string, error) {
	from, end := start, start+n
	if s.length < 0 && n > 0 {
		var scratch [hexLen]byte
		size := appendChunkHead(scratch[:0], n)
		from -= len(size)
		copy(buf[from:], size)
		end += copy(buf[end:], "\r\n")
	}
	if *held > 0 {
		moved := copy(buf[from-*held:], buf[:*held])
		from -= moved
		*held = 0
	}
	out := buf[from:end]
	if s.length < 0 && last {
		out = append(out, "0\r\n"...)
		out = appendRequestTrailer(out, s.trailer)
		out = append(out, "\r\n"...)
	}
	if err := s.write(out); err != nil {
		return "write", err
	}
	return "", nil
}

// appendRequestTrailer writes the trailer section without what must not be in
// one (RFC 9110 6.5.1) or cannot be written.
func appendRequestTrailer(b []byte, t http.Header) []byte {
	for name, values := range t {
		if id := lookupName(name); isToken(name) && !forbiddenTrailer(id, name) {
			b = appendField(b, name, values)
		}
	}
	return b
}

func (s *sender) write(p []byte) error {
	_, err := s.wire.write(p, s.timeouts.WriteIdle)
	return err
}

// mayRelay reports whether the rest of the body can go through the kernel.
func (s *sender) mayRelay() bool {
	body, ours := s.body.(*requestBody)
	if !ours || s.length < 0 || s.left < minRelay || s.wire.raw == nil {
		return false
	}
	body.mu.Lock()
	defer body.mu.Unlock()
	return body.x != nil && body.x.conn.wire.raw != nil && body.x.in.buffered() == 0 &&
		body.x.body.err == nil && !body.closed && canSplice
}

// relay lets the kernel carry the rest of the body, some at a time so that the
// server can take the body away.
func (s *sender) relay() (op string, err error) {
	body := s.body.(*requestBody)
	for s.left > 0 {
		n, rerr, werr := body.relay(s.wire, min(s.left, relayPiece), s.timeouts.WriteIdle)
		s.left -= n
		if werr != nil {
			return "write", werr
		}
		if rerr != nil {
			return "request body", rerr
		}
	}
	return "", nil
}
