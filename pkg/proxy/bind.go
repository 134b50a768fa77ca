package proxy

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// bindings tie the backends of tables to what the pool remembers of them. A Backend is immutable and mostly shared from table to
// table, so its pointer is the key: a swap costs something only for backends that changed, and a backend that no request ever asked
// for has no endpoints in the pool.
//
//	Prepare(next)  before the swap: new backends get a binding, with the endpoints of the one they replace
//	Settle(next)   after it: bindings of backends that are gone are given up, and with them endpoints that nobody else has
//
// A request that still has the old table finds no binding after Settle; it makes one for itself.
type bindings struct {
	pool    *pool.Pool
	name    string   // of this process, in loopField
	byPlace sync.Map // *route.Backend -> *binding

	mu      sync.Mutex
	bound   []*route.Backend // of the table prepared last
	gone    map[*route.Backend]struct{}
	secure  []*route.UpstreamTLS // of the table prepared last, and as a set
	live    map[*route.UpstreamTLS]struct{}
	secured map[*binding]struct{} // those that have used any
}

// binding is what belongs to one Backend, for each way it is spoken to.
type binding struct {
	backend  *route.Backend
	using    [pool.Protocols]atomic.Pointer[members]
	securely sync.Map // way -> *members, for ways with TLS settings
	retired  bool     // under bindings.mu: members may not be added any more
}

// way is how the endpoints of a Backend are spoken to. Routes that differ in it share no connection, so that what one of them wants of
// endpoints holds whatever others want.
type way struct {
	protocol pool.Protocol
	tls      *route.UpstreamTLS // nil verifies and shows nothing, or there is no TLS
}

func (b *binding) load(w way) *members {
	if w.tls == nil {
		return b.using[w.protocol].Load()
	}
	m, _ := b.securely.Load(w)
	found, _ := m.(*members)
	return found
}

func (b *binding) store(w way, m *members) {
	if w.tls == nil {
		b.using[w.protocol].Store(m)
		return
	}
	b.securely.Store(w, m)
}

// ways calls each for every way in use.
func (b *binding) ways(each func(way, *members)) {
	for protocol := range b.using {
		if m := b.using[protocol].Load(); m != nil {
			each(way{protocol: pool.Protocol(protocol)}, m)
		}
	}
	b.securely.Range(func(w, m any) bool {
		each(w.(way), m.(*members))
		return true
	})
}

// members are the pool's side of a Backend: its Endpoints in the same order, then those that are draining.
type members struct {
	backend   *route.Backend
	group     *pool.Group
	endpoints []*pool.Endpoint
	ready     int    // how many of them new requests may go to
	mark      string // what requests to them carry in loopField
	names     names
}

// Prepare makes everything ready for next to be swapped in. It must be called for each table, in the order of the swaps, by one
// goroutine at a time.
func (p *Proxy) Prepare(next *route.Table) {
	p.bindings.pool.DenyServers(next.APIServers)
	p.bindings.prepare(next)
}

// Settle gives up what only tables before the one prepared last needed: idle connections to endpoints that left are closed. Requests
// that have such a table still are served.
func (p *Proxy) Settle() { p.bindings.settle() }

func (b *bindings) prepare(table *route.Table) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepareTLS(table.UpstreamTLS)
	next := table.Backends
	added, removed := difference(b.bound, next)
	before := make(map[string]*binding, len(removed))
	if b.gone == nil {
		b.gone = make(map[*route.Backend]struct{}, len(removed))
	}
	for _, old := range removed {
		b.gone[old] = struct{}{}
		if v, ok := b.byPlace.Load(old); ok {
			before[old.Name] = v.(*binding)
		}
	}
	for _, backend := range added {
		delete(b.gone, backend)
		if _, ok := b.byPlace.Load(backend); !ok {
			b.byPlace.Store(backend, b.successor(backend, before[backend.Name]))
		}
	}
	b.bound = next
}

// successor makes the binding of a backend that takes the place of another, so that the endpoints both have never lose their last
// reference in between.
func (b *bindings) successor(backend *route.Backend, before *binding) *binding {
	next := &binding{backend: backend}
	if before == nil {
		return next
	}
	before.ways(func(w way, _ *members) {
		if b.isLive(w) {
			b.put(next, w, b.newMembers(backend, w))
		}
	})
	return next
}

func (b *bindings) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for backend := range b.gone {
		v, ok := b.byPlace.LoadAndDelete(backend)
		if !ok {
			continue
		}
		old := v.(*binding)
		old.retired = true
		old.ways(func(_ way, m *members) { b.release(m) })
		delete(b.secured, old)
	}
	for bound := range b.secured {
		b.dropDead(bound)
	}
	clear(b.gone)
}

// difference returns what only next has, and what only before has. Both mostly have the same backends at the same places.
func difference(before, next []*route.Backend) (added, removed []*route.Backend) {
	for i := range max(len(before), len(next)) {
		switch {
		case i >= len(before):
			added = append(added, next[i])
		case i >= len(next):
			removed = append(removed, before[i])
		case before[i] != next[i]:
			added, removed = append(added, next[i]), append(removed, before[i])
		}
	}
	if len(added) == 0 || len(removed) == 0 {
		return added, removed
	}
	return without(added, removed), without(removed, added)
}

// without returns what of list is not in other.
func without(list, other []*route.Backend) []*route.Backend {
	in := make(map[*route.Backend]struct{}, len(other))
	for _, b := range other {
		in[b] = struct{}{}
	}
	var out []*route.Backend
	for _, b := range list {
		if _, ok := in[b]; !ok {
			out = append(out, b)
		}
	}
	return out
}

// prepareTLS takes over the TLS settings of the table being prepared.
func (b *bindings) prepareTLS(next []*route.UpstreamTLS) {
	if len(next) == len(b.secure) && (len(next) == 0 || &next[0] == &b.secure[0]) {
		return
	}
	b.secure, b.live = next, make(map[*route.UpstreamTLS]struct{}, len(next))
	for _, to := range next {
		b.live[to] = struct{}{}
	}
}

func (b *bindings) isLive(w way) bool {
	_, live := b.live[w.tls]
	return live || w.tls == nil
}

// put adds a way to a binding.
func (b *bindings) put(bound *binding, w way, m *members) {
	bound.store(w, m)
	if w.tls == nil {
		return
	}
	if b.secured == nil {
		b.secured = map[*binding]struct{}{}
	}
	b.secured[bound] = struct{}{}
}

// dropDead gives up the ways of a binding whose TLS settings are gone.
func (b *bindings) dropDead(bound *binding) {
	left := 0
	bound.securely.Range(func(w, m any) bool {
		if b.isLive(w.(way)) {
			left++
			return true
		}
		bound.securely.Delete(w)
		b.release(m.(*members))
		return true
	})
	if left == 0 {
		delete(b.secured, bound)
	}
}

// find returns the members of a backend. transit means that they are the caller's alone, to be released after use.
func (b *bindings) find(backend *route.Backend, w way) (m *members, transit bool) {
	v, ok := b.byPlace.Load(backend)
	if !ok {
		return b.newMembers(backend, w), true
	}
	bound := v.(*binding)
	if m := bound.load(w); m != nil {
		return m, false
	}
	return b.firstUse(bound, w)
}

func (b *bindings) firstUse(bound *binding, w way) (m *members, transit bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := bound.load(w); m != nil {
		return m, false
	}
	m = b.newMembers(bound.backend, w)
	if bound.retired || !b.isLive(w) {
		return m, true
	}
	b.put(bound, w, m)
	return m, false
}

func (b *bindings) newMembers(backend *route.Backend, w way) *members {
	key := pool.Key{Service: backend.Namespace + "/" + backend.Service, Protocol: w.protocol, TLS: tlsOf(backend, w.tls)}
	m := &members{
		backend:   backend,
		group:     b.pool.Group(backend.Name + " " + key.String()),
		endpoints: make([]*pool.Endpoint, 0, len(backend.Endpoints)+len(backend.Draining)),
		ready:     len(backend.Endpoints),
		mark:      loopMark(b.name, backend.Name),
	}
	for _, list := range [][]route.Endpoint{backend.Endpoints, backend.Draining} {
		for i := range list {
			key.Address = list[i].Address()
			m.endpoints = append(m.endpoints, b.pool.Endpoint(key))
		}
	}
	return m
}

// tlsOf is the pool's form of TLS settings. Without a name of their own an endpoint's is that of the Service in the cluster, or the one
// outside that it stands for.
func tlsOf(backend *route.Backend, to *route.UpstreamTLS) pool.TLS {
	if to == nil {
		return pool.TLS{}
	}
	out := pool.TLS{
		Name: to.Policy.Name, Depth: to.Policy.Depth, Certificate: to.Certificate,
		Min: to.Policy.Min, Max: to.Policy.Max, Suites: pool.Suites(to.Policy.CipherSuites()),
	}
	if out.Name == "" {
		out.Name = backend.Service + "." + backend.Namespace + ".svc"
		if len(backend.Endpoints) > 0 && backend.Endpoints[0].Name != "" {
			out.Name, _, _ = strings.Cut(backend.Endpoints[0].Name, ":")
		}
	}
	if to.Policy.SNI {
		out.ServerName = out.Name
	}
	if to.Policy.Verify {
		out.Roots = to.Roots
	} else {
		out.Name, out.Depth = "", 0
	}
	return out
}

func (b *bindings) release(m *members) {
	for _, e := range m.endpoints {
		b.pool.Release(e)
	}
	b.pool.ReleaseGroup(m.group)
}
