package proxy

import (
	"errors"
	"io"
)

// bodyTry is the client's body as one try reads it. What was read is kept, up to a bound, and the next try begins with that. A transport
// may hold its body for a while after the try has failed, and may even be waiting for the client then: what comes is kept for the try
// that is the current one.
type bodyTry struct {
	body   *clientBody
	offset int // how much this try has had
}

// errOver is what a try reads that is not the current one.
var errOver = errors.New("the request is being sent to another endpoint")

// Read implements io.Reader for the transport.
func (t *bodyTry) Read(p []byte) (int, error) {
	b := t.body
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if n, kept, err := t.readKept(p); kept {
			return n, err
		}
		if !b.reading {
			break
		}
		b.readDone.Wait()
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.fetch(p)
	b.mu.Lock()
	b.reading = false
	b.readDone.Broadcast()
	b.keep(p[:n], err, t)
	if b.current != t {
		return 0, errOver
	}
	t.offset += n
	return n, err
}

// readKept reads what the client need not be asked for. It is called with the body's mutex held.
func (t *bodyTry) readKept(p []byte) (n int, kept bool, err error) {
	b := t.body
	switch {
	case b.current != t:
		return 0, true, errOver
	case t.offset < len(b.ahead):
		n := copy(p, b.ahead[t.offset:])
		t.offset += n
		return n, true, nil
	case b.whole:
		return 0, true, io.EOF
	}
	return 0, len(p) == 0, nil
}

// Arriving reports whether there is something to send already: kept from an earlier try, or since the client does not wait for
// "100 Continue".
func (t *bodyTry) Arriving() bool {
	b := t.body
	b.mu.Lock()
	kept := b.current == t && t.offset < len(b.ahead)
	b.mu.Unlock()
	from, ok := b.from.(interface{ Arriving() bool })
	return kept || ok && from.Arriving()
}

// Beneath implements http1.Wrapper: once more was read than is kept, and nobody wants a copy, the rest need not pass through here. A
// body of known length was held to its limit before.
func (t *bodyTry) Beneath() io.Reader {
	b := t.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != t || b.length < 0 || !b.overflown || t.offset < len(b.ahead) || b.copied != nil || b.fault.Load() != nil {
		return nil
	}
	return b.from
}

// Passed implements http1.Wrapper.
func (t *bodyTry) Passed(n int64, err error) {
	t.body.read.Add(n)
	if err != nil && !errors.Is(err, io.EOF) {
		t.body.fault.Store(&err)
	}
}

// Close implements io.Closer. It leaves the client's side alone: that is the server's to close, and another try may need it.
func (t *bodyTry) Close() error { return nil }

// replayBound is how much of a body is kept so that it can be sent again, in bytes. nginx keeps all of it, on disk if need be.
const replayBound = 64 << 10

// keep remembers what t has read. If the next try has begun meanwhile that must have it, bound or not.
func (b *clientBody) keep(p []byte, err error, t *bodyTry) {
	if b.current == t {
		b.overflown = b.overflown || len(b.ahead)+len(p) > max(replayBound, cap(b.ahead))
	}
	if b.overflown {
		return
	}
	if b.length > 0 && b.length <= replayBound && b.ahead == nil {
		b.ahead = make([]byte, 0, b.length)
	}
	b.ahead = append(b.ahead, p...)
	if errors.Is(err, io.EOF) || b.read.Load() == b.length {
		b.whole = true
	}
}

// again reports whether the body can be sent from its beginning. If so, the try before reads no more of it.
func (b *clientBody) again() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault.Load() != nil || b.overflown {
		return false
	}
	b.current = nil
	return true
}

// try returns the body for one more try, or nil when it cannot be sent again. A transport may still hold the one before.
func (b *clientBody) try() io.ReadCloser {
	if !b.again() {
		return nil
	}
	t := &b.first
	if t.body != nil {
		t = &bodyTry{}
	}
	t.body = b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readDone.L = &b.mu
	b.current = t
	return t
}
