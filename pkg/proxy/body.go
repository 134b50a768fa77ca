package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
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
	length int64 // as announced; -1: not
	limit  int64 // 0 is none

	copied   *bytes.Buffer // for mirroring: what was read, while that is not too much
	complete atomic.Bool   // all of it was read

	read  atomic.Int64
	fault atomic.Pointer[error] // why from cannot be read
	first bodyTry

	mu        sync.Mutex
	current   *bodyTry // the try that may read
	ahead     []byte   // what was buffered before the first try, or kept of what was read
	whole     bool     // ahead is all of it
	reading   bool     // a try waits for the client
	readDone  sync.Cond
	overflown bool // more was read than is kept
}

// takeBody prepares the request's body, and buffers it where that is asked for.
func (x *exchange) takeBody() bool {
	set := &x.Set.Body
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return false // HTTP/2 servers give a Body to requests that have none
	}
	x.body = &clientBody{from: x.r.Body, length: x.r.ContentLength, limit: set.MaxSize}
	if x.Web.Text {
		x.body.from, x.body.length = &textReader{from: x.r.Body}, -1
	}
	x.keepCopy()
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
	b.whole = int64(len(ahead)) < size
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

// copy keeps what was read for mirroring. A complete copy is not touched any more: a transport may still be reading the end of the body
// when the copy is sent off.
func (b *clientBody) copy(p []byte, err error) {
	if b.copied == nil || b.complete.Load() {
		return
	}
	if b.copied.Len()+len(p) > mirrorBody {
		b.copied = nil
		return
	}
	b.copied.Write(p)
	b.complete.Store(err == io.EOF || b.read.Load() == b.length)
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

// clientLeft reports whether the request's client is known to be gone.
func (x *exchange) clientLeft() bool { return x.r.Context().Err() != nil }
