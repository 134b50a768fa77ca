package http1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/field"
)

// Transport is the connection pool of one endpoint. Set the fields before the
// first request, and not afterwards. It does not look at Request.URL.Scheme
// or Host: every request goes where Dial leads.
type Transport struct {
	// Dial connects to the endpoint; a TLS handshake must be complete. ctx
	// ends with the connect timeout or the request.
	Dial func(ctx context.Context) (net.Conn, error)

	Timeouts Timeouts // for requests that do not say otherwise
	Limits   Limits   // of responses; larger ones are "malformed"

	MaxIdle            int           // connections kept; 0 is 32, negative none
	IdleTimeout        time.Duration // how long one is kept; 0 is 60 s, negative no limit
	MaxLife            time.Duration // age at which one is not kept any more; 0 or less no limit
	MaxRequestsPerConn int           // 0 or less no limit
	MaxConns           int           // connections in use and idle; 0 or less no limit; above: ErrTooManyConns

	setup    sync.Once
	limits   Limits
	bounds   bodyLimits
	timeouts Timeouts
	maxIdle  int
	maxWait  time.Duration
	trust    int64 // trusted, but for tests

	mu     sync.Mutex
	idle   []*upstreamConn // the most recently used last
	reaper *time.Timer     // closes what nobody took
	// The reaper is due. It runs on for one period after the last idle
	// connection was taken, so that a busy pool does not start it again
	// and again.
	reaping bool
	closed  bool
	suspect atomic.Int64 // until when kept connections are always looked at
	seen    idleTime
	stats   transportCounters
}

// Call is what one request wants. It can be used for many requests.
type Call struct {
	Timeouts Timeouts // zero fields: the Transport's
	// Fresh asks for a new connection. It is for a request that could not be
	// sent again if a kept connection turned out to be closed.
	Fresh bool
	// Interim is given informational responses other than 100 and 101. The
	// header map is reused after it returns; an error ends the request.
	// Nil: the context's httptrace.ClientTrace.Got1xxResponse, if any.
	Interim func(status int, h http.Header) error
	// MaxConns is how many connections there may be, in use and idle, for
	// this request to make one more; 0 is the Transport's.
	MaxConns int
	// Fields are written after those of the request's Header, which should
	// not hold them: what a proxy says about every request costs less here
	// than in a map. Names are written as they are, values are checked.
	Fields []Field
	// Answer is where the Response is to be made, for a caller that makes one
	// request after the other. Whoever brings the same one again must be done
	// with the last Response: nobody may use it, nor close its Body once more.
	// Nil: a new one.
	Answer *Answer
}

// Field is one header field.
type Field = field.Field

// TransportStats is what a Transport counts.
type TransportStats struct {
	Dials    int64 // connections made, ever
	Failures int64 // dials that failed, ever
	Open     int64 // connections now, upgraded ones included
	Idle     int64 // of those, kept for reuse
	Requests int64 // requests begun, ever
	Reused   int64 // of those, on a kept connection
	Dead     int64 // kept connections found closed or with unexpected bytes
}

type transportCounters struct {
	dials, failures, open, requests, reused, dead atomic.Int64
}

// Stats returns the counters.
func (t *Transport) Stats() TransportStats {
	t.mu.Lock()
	idle := len(t.idle)
	t.mu.Unlock()
	c := &t.stats
	return TransportStats{
		Dials: c.dials.Load(), Failures: c.failures.Load(), Open: c.open.Load(), Idle: int64(idle),
		Requests: c.requests.Load(), Reused: c.reused.Load(), Dead: c.dead.Load(),
	}
}

func (t *Transport) prepare() {
	t.setup.Do(func() {
		t.limits = t.Limits.withDefaults()
		t.bounds = t.limits.body()
		t.bounds.padded = true
		t.timeouts = t.Timeouts.or(standardTimeouts())
		t.maxIdle = t.MaxIdle
		if t.maxIdle == 0 {
			t.maxIdle = 32
		}
		t.maxWait = defaultDuration(t.IdleTimeout, 60*time.Second)
		if t.trust == 0 {
			t.trust = trusted
		}
	})
}

// RoundTrip sends a request and returns its response, which with its Header
// is valid until Body is closed. Errors are *Error. It never retries.
//
// The bytes of the target are those of URL.Opaque if set, else of URL.RawPath
// if that means the same as URL.Path, else of URL.EscapedPath; then the query.
// Of Header everything is sent except the fields that belong to a connection
// (RFC 9110 7.6.1), those that its Connection field names, and the framing,
// which follows ContentLength and Body as with net/http: -1, or 0 with a Body,
// is chunked. Upgrade is sent when Connection says so, TE only as "trailers".
// User-Agent and Accept-Encoding are not added. Of a response's fields those
// that belong to the connection, and those that its Connection field names,
// are not handed on; Upgrade is with 101 and 426.
//
// A body that fits the write buffer is read before anything is sent, and
// leaves with the head. A larger one, or one of unknown length, is sent by a
// goroutine of its own while the caller waits for the response, so that an
// early one is returned at once, whatever the sender waits for; the rest of
// the body goes on being sent until the response ends, when the connection is
// closed if the body is not finished. After an early response the body may
// therefore still be read, as with net/http. If the body cannot be read the
// connection is closed: the upstream never sees a complete request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.RoundTripWith(req, nil)
}

// RoundTripWith is RoundTrip with what this request wants; nil is RoundTrip.
// call must not change until the response's Body is closed.
func (t *Transport) RoundTripWith(req *http.Request, call *Call) (*http.Response, error) {
	t.prepare()
	t.stats.requests.Add(1)
	x := takeClientExchange(t, req, call)
	if err := x.checkRequest(); err != nil {
		return nil, x.fail("request", err)
	}
	if err := x.renderRequest(); err != nil {
		return nil, x.fail("request", err)
	}
	conn, op, err := x.connect()
	if err != nil {
		return nil, x.fail(op, err)
	}
	return x.roundTrip(conn)
}

func (x *clientExchange) connect() (conn *upstreamConn, op string, err error) {
	if x.call != nil && x.call.Fresh {
		x.t.makeRoom(x.mostConns())
		return x.t.dial(x)
	}
	return x.t.get(x, !x.repeatable())
}

// makeRoom closes an idle connection where no more may be made.
func (t *Transport) makeRoom(most int) {
	if most <= 0 || t.stats.open.Load() < int64(most) {
		return
	}
	if c, _ := t.pop(); c != nil {
		c.close()
	}
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	idle := t.idle
	t.idle = nil
	if t.reaper != nil {
		t.reaper.Stop()
		t.reaping = false
	}
	t.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Close ends the pool: idle connections close at once, requests in progress
// finish and their connections are not kept, later requests get ErrClosed.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.CloseIdleConnections()
	return nil
}
