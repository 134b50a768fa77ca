// Package proxy is the request path: from a client's request to an endpoint's answer.
//
// What becomes of a request is decided by package decide; this package carries it out. A request goes through the methods of exchange
// listed in steps, each of which either answers, which ends the request, or leaves it to the next:
//
//	decide    decision.go  asks package decide, waits for endpoints, gives the answers that are Usher's own; world.go is its Env
//	takeBody  body.go      size limit, buffering
//	headers   headers.go   the request that goes to the endpoint
//	pick      pick.go      which endpoints may have it
//	forward   forward.go   sending, and another endpoint if that failed and may be repeated
//	answer    answer.go    the response; upgrade.go when it is a 101, websocket.go where HTTP/2 differs; grpcweb.go
//
// Connections that are passed on as they are take a way of their own, stream.go.
//
// Failures become answers in failure.go. Afterwards, whatever happened, the Observer and the AccessLog get a Record.
//
// A request loads the table once and keeps it to its end, so it never sees two generations. What must survive a table is in package
// pool; bind.go ties the two together. In steady state a request makes next to no garbage: its state is pooled, the client's header
// map is edited in place and sent on, and nothing of the server's is kept after ServeHTTP returns.
package proxy

import (
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// Tables is where the table in use is found; nil before the first one.
type Tables interface {
	Load() *route.Table
	// Next is closed when another Table is put in use.
	Next() <-chan struct{}
}

// Options are what a Proxy is made of. Tables and Pool are required.
type Options struct {
	Tables   Tables
	Pool     *pool.Pool
	Observer Observer  // nil observes nothing
	Log      AccessLog // nil logs nothing
	// HideReason leaves out the header X-Usher-Reason and the reason on error pages.
	HideReason bool
	// Panicked is told about a bug: a panic while a request was handled, which is answered 500. It may be nil.
	Panicked func(r *http.Request, value any, stack []byte)
}

// Proxy is the http.Handler of the traffic ports.
//
// Its server must do what package http1 does: a ResponseWriter that is an io.ReaderFrom sends what it has before its source makes it
// wait, and http.ErrAbortHandler cuts the connection.
type Proxy struct {
	tables   Tables
	bindings bindings
	observer Observer
	log      AccessLog
	hide     bool
	panicked func(*http.Request, any, []byte)
	tunnels  Tunnels
	defaults *policy.Set
	states   sync.Pool
	parked   atomic.Int64  // requests that wait for endpoints
	mirrors  chan struct{} // places for copies in flight
	copied   atomic.Int64  // bytes of room that bodies have which are kept for copies
	buffers  sync.Pool
	judged   judgements
	ends     ends // of streams
}

// New returns a Proxy. Before a table is swapped in, give it to Prepare, and after that to Settle.
func New(o Options) *Proxy {
	p := &Proxy{
		tables: o.Tables, bindings: bindings{pool: o.Pool, name: newLoopName()}, observer: o.Observer, log: o.Log,
		hide: o.HideReason, panicked: o.Panicked, defaults: policy.Default(),
		mirrors: make(chan struct{}, mirrorPlaces),
	}
	if p.observer == nil {
		p.observer = nobody{}
	}
	p.states.New = func() any { return newExchange(p) }
	p.buffers.New = func() any { return new(copyBuffer) }
	return p
}

// steps is the request path. Each reports whether it answered, which ends the request. Never written.
var steps = [...]func(*exchange) (answered bool){
	(*exchange).decide,
	(*exchange).takeBody,
	(*exchange).headers,
	(*exchange).pick,
	(*exchange).forward,
	(*exchange).answer,
}

// ServeHTTP answers a request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.states.Get().(*exchange)
	x.begin(w, r)
	defer x.end()
	for i := range steps {
		if steps[i](x) {
			break
		}
	}
}

// end runs after the last phase, and after a panic.
func (x *exchange) end() {
	if v := recover(); v != nil {
		x.recovered(v)
	}
	x.mirror()
	x.letGo()
	p, aborted := x.proxy, x.aborted
	x.record.Duration = time.Since(x.record.Time)
	p.observer.Done(&x.record)
	if p.log != nil {
		p.log.Log(&x.record)
	}
	x.reset()
	p.states.Put(x)
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) recovered(v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares in the same way
		x.aborted = true
		return
	}
	if x.proxy.panicked != nil {
		x.proxy.panicked(x.r, v, debug.Stack())
	}
	x.record.Error = "panic"
	x.fail(policy.Internal)
}
