package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/policy"
)

// errTooLarge ends a body that exceeds proxy-body-size while it is streamed.
var errTooLarge = errors.New("request body over the limit of proxy-body-size")

// clientBody is the request's body on its way upstream: it counts, holds it to its limit, and remembers whether it is the client's
// fault when it ends early. What was buffered can be sent again.
//
// There is a new one for every request that has a body, since a transport may read it for a moment after the request has ended.
type clientBody struct {
	from   io.Reader
	length int64       // as announced; -1: not
	limit  int64       // 0 is none
	ahead  []byte      // what was buffered before the first try
	whole  atomic.Bool // ahead is all of it

	copied   *bytes.Buffer // for mirroring: what was read, while that is not too much
	complete atomic.Bool   // all of it was read

	read      atomic.Int64
	spent     atomic.Bool           // from has been read for a try
	overflown bool                  // that try read more than is kept
	fault     atomic.Pointer[error] // why from cannot be read
	first     bodyTry
}

// bodyTry is the body as one try reads it.
type bodyTry struct {
	body   *clientBody
	offset int // how much of what was buffered this try has had
}

// limitBody refuses a body that is too large, and buffers it where that is asked for.
func (x *exchange) limitBody() bool {
	set := &x.set.Body
	if set.TooLarge(x.r.ContentLength) {
		return x.fail(policy.BodyTooLarge)
	}
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return false // HTTP/2 servers give a Body to requests that have none
	}
	x.body = &clientBody{from: x.r.Body, length: x.r.ContentLength, limit: set.MaxSize}
	if x.set.Mirror.Target != nil && x.set.Mirror.Body {
		x.body.copied = &bytes.Buffer{}
	}
	if !set.Buffer {
		return false
	}
	if err := x.body.buffer(set.BufferSize); err != nil {
		return x.badBody(err)
	}
	return false
}

// buffer reads up to size bytes ahead.
func (b *clientBody) buffer(size int64) error {
	ahead, err := io.ReadAll(io.LimitReader(fetcher{b}, size))
	b.ahead = ahead
	b.whole.Store(int64(len(ahead)) < size)
	return err
}

// fetcher reads from the client for buffering.
type fetcher struct{ b *clientBody }

func (f fetcher) Read(p []byte) (int, error) { return f.b.fetch(p) }

// fetch reads from the client.
func (b *clientBody) fetch(p []byte) (int, error) {
	if fault := b.fault.Load(); fault != nil {
		return 0, *fault
	}
	n, err := b.from.Read(p)
	if total := b.read.Add(int64(n)); b.limit > 0 && total > b.limit {
		n, err = 0, errTooLarge
	}
	b.copy(p[:n], err)
	if err != nil && err != io.EOF {
		b.fault.Store(&err)
	}
	return n, err
}

// copy keeps what was read for mirroring.
func (b *clientBody) copy(p []byte, err error) {
	if b.copied == nil {
		return
	}
	if b.copied.Len()+len(p) > mirrorBody {
		b.copied = nil
		return
	}
	b.copied.Write(p)
	b.complete.Store(err == io.EOF || b.read.Load() == b.length)
}

// Read implements io.Reader for the transport.
func (t *bodyTry) Read(p []byte) (int, error) {
	b := t.body
	if t.offset < len(b.ahead) {
		n := copy(p, b.ahead[t.offset:])
		t.offset += n
		return n, nil
	}
	if b.whole.Load() {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	first := !b.spent.Swap(true)
	n, err := b.fetch(p)
	t.offset += n
	b.keep(p[:n], err, first)
	return n, err
}

// Beneath implements http1.Wrapper: once more was read than is kept, and nobody wants a copy, the rest need not pass through here. A
// body of known length was held to its limit before.
func (t *bodyTry) Beneath() io.Reader {
	b := t.body
	if b.length < 0 || !b.overflown || t.offset < len(b.ahead) || b.copied != nil || b.fault.Load() != nil {
		return nil
	}
	return b.from
}

// Passed implements http1.Wrapper.
func (t *bodyTry) Passed(n int64, err error) {
	t.body.read.Add(n)
	if err != nil && err != io.EOF {
		t.body.fault.Store(&err)
	}
}

// replayBound is how much of a body is kept so that it can be sent again, in bytes. nginx keeps all of it, on disk if need be.
const replayBound = 64 << 10

// keep remembers what a try read. Only one try ever reads from the client: the next one begins when all of it is kept, or none was
// read.
func (b *clientBody) keep(p []byte, err error, first bool) {
	if b.overflown = b.overflown || len(b.ahead)+len(p) > max(replayBound, cap(b.ahead)); b.overflown {
		return
	}
	if first && b.length > 0 && b.length <= replayBound && b.ahead == nil {
		b.ahead = make([]byte, 0, b.length)
	}
	b.ahead = append(b.ahead, p...)
	if err == io.EOF || b.read.Load() == b.length {
		b.whole.Store(true)
	}
}

// Close implements io.Closer. It leaves the client's side alone: that is the server's to close, and another try may need it.
func (t *bodyTry) Close() error { return nil }

// again tells whether the body can be sent from its beginning.
func (b *clientBody) again() bool {
	return b.fault.Load() == nil && (b.whole.Load() || !b.spent.Load())
}

// try returns the body for one more try, or nil when it cannot be sent again. A transport may still hold the one before.
func (b *clientBody) try() io.ReadCloser {
	switch {
	case !b.again():
		return nil
	case b.first.body == nil:
		b.first.body = b
		return &b.first
	}
	return &bodyTry{body: b}
}

// failed returns why the client's body could not be read, or nil.
func (b *clientBody) failed() error {
	if b == nil {
		return nil
	}
	if fault := b.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// badBody answers a body that cannot be read. That is never the endpoint's fault.
func (x *exchange) badBody(err error) bool {
	var broken *http1.BodyError
	switch {
	case errors.Is(err, errTooLarge):
		return x.fail(policy.BodyTooLarge)
	case errors.As(err, &broken) && broken.Status == http.StatusRequestTimeout:
		x.record.Error = err.Error()
		return x.failWith(http.StatusRequestTimeout, policy.BadRequest)
	case x.clientLeft():
		return x.fail(policy.ClientClosed)
	}
	x.record.Error = err.Error()
	return x.fail(policy.BadRequest)
}

// clientLeft tells whether the request's client is known to be gone.
func (x *exchange) clientLeft() bool { return x.r.Context().Err() != nil }
