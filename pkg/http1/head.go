package http1

import (
	"bytes"
	"io"
)

// readHead reads and parses one request head. A *ProtocolError is answered;
// any other error means that the client has gone.
func (x *exchange) readHead() error {
	if x.headDone {
		x.headDone = false
		return x.headErr
	}
	if !x.begun {
		x.startHead()
	}
	limit := after(now(), x.conn.server.timeouts.Head)
	defer x.releaseHead()
	for {
		n, err := x.scanHead()
		if err != nil {
			return err
		}
		if n > 0 {
			return x.parseHead(n)
		}
		if err := x.moreHead(limit); err != nil {
			return err
		}
	}
}

// startHead prepares for the next head.
func (x *exchange) startHead() {
	x.scanned, x.skipped, x.lined, x.begun = 0, false, false, true
	x.freshContext()
	x.req, x.head = *x.blank, requestHead{}
	x.req.RemoteAddr, x.req.TLS = x.conn.remote, x.conn.tls
	keep := x.conn.server.KeepUnderscores
	x.keepUnderscores = keep != nil && keep()
}

// parseHead takes a head of n bytes out of the buffer.
func (x *exchange) parseHead(n int) error {
	x.begun = false
	head := string(x.in.bytes()[:n])
	x.in.discard(n)
	if err := x.parseRequest(head); err != nil {
		return err
	}
	return nil
}

// scanHead looks for the end of the head in what is buffered, and returns its
// length, or 0 if more is needed.
func (x *exchange) scanHead() (int, error) {
	held := x.in.bytes()
	if len(held) == 0 {
		return 0, nil
	}
	if !x.skipped {
		done, err := x.skipEmptyLine(held)
		if err != nil || !done {
			return 0, err
		}
		x.skipped = true
		held = x.in.bytes()
	}
	end, next, err := headEnd(held, x.scanned)
	if err != nil {
		return 0, err
	}
	x.scanned = next
	if err := x.checkHeadSize(held, end); err != nil || end > 0 || x.lined {
		return end, err
	}
	return 0, x.previewLine(held)
}

// previewLine parses the request line of a head that has not come whole: who
// speaks HTTP/0.9, for one, is not going to send more.
func (x *exchange) previewLine(held []byte) error {
	end := bytes.IndexByte(held, '\n')
	if end < 0 {
		return nil
	}
	x.lined = true
	if err := x.parseRequestLine(string(held[:end-1])); err != nil && err != errPreface {
		return err
	}
	return nil
}

// skipEmptyLine drops one CRLF before the request line (RFC 9112 2.2), and
// refuses at once what cannot begin one. False: more bytes are needed.
func (x *exchange) skipEmptyLine(held []byte) (bool, error) {
	if held[0] == '\r' {
		if len(held) == 1 {
			return false, nil
		}
		if held[1] != '\n' {
			return false, malformed("bare-cr", "the request begins with a CR")
		}
		if len(held) == 2 {
			return false, nil
		}
		x.in.discard(2)
		held = held[2:]
		if len(held) > 2 && string(held[:3]) == "\r\n\x00" {
			return false, unexpectedProxyHeader("%q", held[:min(len(held), 8)])
		}
	}
	if class[held[0]]&tokenChar == 0 {
		return false, malformed("bad-method", "the request begins with %q", held[:min(len(held), 8)])
	}
	return true, nil
}

// checkHeadSize compares what is there (held, of which end bytes are a whole
// head, or 0) with the limits.
func (x *exchange) checkHeadSize(held []byte, end int) error {
	if end > 0 {
		held = held[:end]
	}
	if len(held) > x.limits.LineBytes {
		line := bytes.IndexByte(held, '\n')
		if line < 0 || line > x.limits.LineBytes {
			return refusal(414, "long-request-line", "the request line exceeds %d bytes", x.limits.LineBytes)
		}
	}
	if len(held) > x.limits.HeadBytes || end == 0 && len(held) == x.limits.HeadBytes {
		return refusal(431, "large-head", "the request head exceeds %d bytes", x.limits.HeadBytes)
	}
	return nil
}

// releaseHead gives back what the head held while it arrived.
func (x *exchange) releaseHead() {
	if x.heldHead > 0 {
		x.conn.server.Heads.Release(x.heldHead)
		x.heldHead = 0
	}
}

func (x *exchange) moreHead(limit int64) error {
	if !x.in.room(x.limits.HeadBytes + 2) {
		return refusal(431, "large-head", "the request head exceeds %d bytes", x.limits.HeadBytes)
	}
	var ok bool
	if x.heldHead, ok = x.conn.server.Heads.Hold(x.heldHead, len(x.in.buf)); !ok {
		return refusal(431, "heads-over-budget", "heads that are still arriving hold all the memory that they may")
	}
	n, err := x.conn.wire.read(x.in.space(), limit, nil)
	x.in.filled(n)
	switch {
	case n > 0:
		return nil
	case isTimeout(err) && x.in.buffered() <= 2 && x.in.buf[x.in.r] == '\r':
		return err // nothing but an empty line: an idle client, not a slow one
	case isTimeout(err):
		return refusal(408, "head-timeout", "the request head did not arrive in time")
	case err == nil:
		return io.ErrNoProgress
	case err == io.EOF && x.in.buffered() > 2:
		return malformed("short-head", "the client ended within the head of a request")
	}
	return err
}
