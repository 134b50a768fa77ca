// Package pool holds what survives a swap: for each endpoint its connections and what is remembered about it, for each backend whose
// turn it is.
//
// A Table is replaced many times a minute; none of this may be lost with it. So nothing here knows tables. Whoever reads one takes
// what it needs by key, and counts: Endpoint and Group add a reference, Release and ReleaseGroup give it back, and what nobody
// refers to any more is closed. An endpoint that left a table thereby closes its idle connections at once, while requests on it
// finish and their connections are not kept.
//
//	pool := pool.New(pool.Options{})
//	e := pool.Endpoint(pool.Key{Address: "10.0.3.7:8080"})
//	e.Begin()
//	response, err := e.RoundTrip(request, &pool.Call{})
//	...
//	e.End(err == nil)
//	pool.Release(e)
//
// How an endpoint is spoken to (our own HTTP/1.1, HTTP/2 with or without TLS) is decided by the key and shows nowhere else.
package pool

import (
	"net/netip"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/egress"
)

// Protocol is how an endpoint is spoken to.
type Protocol uint8

// The protocols.
const (
	HTTP1    Protocol = iota // HTTP/1.1 in the clear
	HTTP1TLS                 // HTTP/1.1 over TLS
	H2C                      // HTTP/2 in the clear, with prior knowledge
	H2                       // HTTP/2 over TLS
	TCP                      // bytes, by Connect
	Protocols
)

// String names the protocol as the backend-protocol annotation does.
func (p Protocol) String() string {
	switch p {
	case HTTP1TLS:
		return "HTTPS"
	case H2C:
		return "GRPC"
	case H2:
		return "GRPCS"
	case TCP:
		return "TCP"
	}
	return "HTTP"
}

// Key identifies an endpoint. The same address spoken to in two ways is two endpoints, and so is that of two Services: whoever may write
// an EndpointSlice can name another's Pod there, and what becomes of it then is not to touch the other's requests.
type Key struct {
	Service  string // "namespace/name"; empty for what is not a Service's
	Address  string // "10.0.3.7:8080", "[fd00::7]:8080" or "name.example.com:443"
	Protocol Protocol
	TLS      TLS
}

// Options of a Pool. The zero value is a safe one.
type Options struct {
	// Allow opens addresses that are refused otherwise: loopback, link-local, unspecified, multicast and those of DenyExtra.
	Allow         []netip.Prefix
	AllowLoopback bool
	DenyExtra     []netip.Prefix
	// Own gives the ports of this process, to which no connection is made. It is asked for each connection; nil is none.
	Own      func() egress.Listeners
	Resolver Resolver // for endpoints that are names; nil is the system's

	MaxIdle     int           // connections kept for one endpoint; 0 is 320, as ingress-nginx keeps
	IdleTimeout time.Duration // how long; 0 is 60 s
}

// Pool is the set of endpoints and groups in use. Its methods may be called from any goroutine.
type Pool struct {
	options Options
	dialer  *dialer
	clock   clock
	limiter *Limiter
	checks  chan struct{} // places for health checks in flight

	mu        sync.Mutex
	endpoints map[Key]*Endpoint
	groups    map[string]*Group
	closed    bool
}

// New returns an empty Pool.
func New(o Options) *Pool {
	if o.MaxIdle == 0 {
		o.MaxIdle = 320
	}
	return &Pool{options: o, dialer: newDialer(o), clock: clock{time.Now()}, limiter: NewLimiter(), checks: make(chan struct{}, checksAtATime), endpoints: map[Key]*Endpoint{}, groups: map[string]*Group{}}
}

// clock counts time since the pool was made, steadily.
type clock struct{ start time.Time }

// now is never 0, which stands for "not at all".
func (c *clock) now() time.Duration { return time.Since(c.start) + 1 }

// DenyServers sets where the API servers listen; no connection is made there unless Options.Allow opens it.
func (p *Pool) DenyServers(at []netip.AddrPort) { p.dialer.servers.Store(&at) }

// Limiter is what is remembered about clients.
func (p *Pool) Limiter() *Limiter { return p.limiter }

// Endpoint returns the endpoint of a key, making it if nobody used it yet, and adds a reference, which Release gives back.
func (p *Pool) Endpoint(k Key) *Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.endpoints[k]
	if !ok {
		e = p.newEndpoint(k)
		p.endpoints[k] = e
	}
	e.references++
	return e
}

// Release gives a reference back. With the last one the endpoint's idle connections close; requests on it finish.
func (p *Pool) Release(e *Endpoint) {
	p.mu.Lock()
	e.references--
	last := e.references == 0
	if last {
		delete(p.endpoints, e.key)
	}
	p.mu.Unlock()
	if last {
		e.leave()
	}
}

// Group returns what is remembered under a name, with a reference that ReleaseGroup gives back.
func (p *Pool) Group(name string) *Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.groups[name]
	if !ok {
		g = &Group{name: name}
		p.groups[name] = g
	}
	g.references++
	return g
}

// ReleaseGroup gives a reference back; with the last one the group is forgotten.
func (p *Pool) ReleaseGroup(g *Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.references--; g.references == 0 {
		delete(p.groups, g.name)
	}
}

// Close closes the idle connections of all endpoints. Requests in progress finish; new ones may still be made, and keep nothing.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	all := make([]*Endpoint, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		all = append(all, e)
	}
	p.mu.Unlock()
	for _, e := range all {
		e.leave()
	}
}
