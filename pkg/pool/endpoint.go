package pool

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// Call is what one request wants besides the request: time limits, and who is told of interim responses (103). It may be used again
// once the response's Body is closed.
type Call = http1.Call

// Field is a header field that goes with a Call.
type Field = http1.Field

// Timeouts are the limits of an endpoint's slowness.
type Timeouts = http1.Timeouts

// Endpoint is one address and what is remembered about it.
type Endpoint struct {
	key        Key
	pool       *Pool
	transport  transport
	references int // under Pool.mu

	inFlight atomic.Int64
	picks    atomic.Uint64
	failures atomic.Int64 // since the last success
	failed   atomic.Uint64
	cause    atomic.Uint32 // of the last failure, a Cause
	ejected  atomic.Int64  // until when, on the pool's clock; 0: not ejected
	health   health
	latency  latency
	since    time.Duration // when the endpoint joined, on the pool's clock
	clock    *clock
	left     atomic.Bool

	unwell   atomic.Bool // by its check
	checking sync.Mutex
	checker  *checker // under checking; nil when nobody wants one

	late    sync.Once
	parting transport // for requests that come after leave; keeps no connection
}

// transport is a way of speaking to an endpoint. Errors, also those of the response's Body, are *http1.Error.
type transport interface {
	RoundTripWith(*http.Request, *Call) (*http.Response, error)
	// Close closes idle connections, and from then on every connection after its last request.
	Close() error
}

func (p *Pool) newEndpoint(k Key) *Endpoint {
	e := &Endpoint{key: k, pool: p, clock: &p.clock, since: p.clock.now()}
	e.transport = p.newTransport(k, p.options.MaxIdle)
	if p.closed {
		e.leave()
	}
	return e
}

func (p *Pool) newTransport(k Key, maxIdle int) transport {
	connect := p.dialer.to(k)
	if k.Protocol == H2C || k.Protocol == H2 {
		return newHTTP2(connect, p.options)
	}
	return &http1.Transport{Dial: connect, MaxIdle: maxIdle, IdleTimeout: p.options.IdleTimeout, MaxLife: maxLife(k)}
}

// Address is "ip:port" or "name:port".
func (e *Endpoint) Address() string { return e.key.Address }

// Protocol is how the endpoint is spoken to.
func (e *Endpoint) Protocol() Protocol { return e.key.Protocol }

// Begin counts a request that was given to the endpoint. End must follow.
func (e *Endpoint) Begin() {
	e.inFlight.Add(1)
	e.picks.Add(1)
}

// End counts the end of a request, and whether the endpoint did its part. Failures count until the next success.
func (e *Endpoint) End(ok bool) {
	e.inFlight.Add(-1)
	switch {
	case !ok:
		e.failures.Add(1)
		e.failed.Add(1)
	case e.failures.Load() != 0 || e.ejected.Load() != 0:
		e.failures.Store(0)
		e.restore()
	}
}

// Leave is End for a request of which nothing can be said about the endpoint: its client went away, or was at fault.
func (e *Endpoint) Leave() { e.inFlight.Add(-1) }

// InFlight is how many requests the endpoint has now.
func (e *Endpoint) InFlight() int64 { return e.inFlight.Load() }

// Failures is how many requests in a row have failed.
func (e *Endpoint) Failures() int64 { return e.failures.Load() }

// RoundTrip sends a request and returns the response, which with its Header is valid until Body is closed; for 101 the Body is an
// io.ReadWriteCloser. It never retries. Errors are *Error; for those of reading the Body see CauseOf. The request's Body may still
// be read after an error or an early response, but not after both ends are closed.
func (e *Endpoint) RoundTrip(req *http.Request, call *Call) (*http.Response, error) {
	response, err := e.transport.RoundTripWith(req, call)
	if err != nil && errors.Is(err, http1.ErrClosed) {
		response, err = e.lateTransport().RoundTripWith(req, call)
	}
	if err != nil {
		return nil, newError(err)
	}
	return response, nil
}

// Connect makes a connection whose bytes are the caller's. An error is an *Error.
func (e *Endpoint) Connect(ctx context.Context) (net.Conn, error) {
	conn, err := e.pool.dialer.plain(e.key.Address)(ctx)
	if err != nil {
		return nil, &Error{Cause: dialCause(err), Err: err}
	}
	return conn, nil
}

// lateTransport serves a request that chose this endpoint from a table in which it still was.
func (e *Endpoint) lateTransport() transport {
	e.late.Do(func() { e.parting = e.pool.newTransport(e.key, -1) })
	return e.parting
}

func (e *Endpoint) leave() {
	if !e.left.Swap(true) {
		e.unwatch()
		_ = e.transport.Close()
	}
}
