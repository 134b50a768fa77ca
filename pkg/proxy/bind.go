package proxy

import (
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
	byPlace sync.Map // *route.Backend -> *binding

	mu    sync.Mutex
	bound []*route.Backend // of the table prepared last
	gone  map[*route.Backend]struct{}
}

// binding is what belongs to one Backend, for each protocol it is spoken to in.
type binding struct {
	backend *route.Backend
	using   [pool.Protocols]atomic.Pointer[members]
	retired bool // under bindings.mu: members may not be added any more
}

// members are the pool's side of a Backend: its Endpoints in the same order, then those that are draining.
type members struct {
	backend   *route.Backend
	group     *pool.Group
	endpoints []*pool.Endpoint
	ready     int // how many of them new requests may go to
	names     names
}

// Prepare makes everything ready for next to be swapped in. It must be called for each table, in the order of the swaps, by one
// goroutine at a time.
func (p *Proxy) Prepare(next *route.Table) { p.bindings.prepare(next.Backends) }

// Settle gives up what only tables before the one prepared last needed: idle connections to endpoints that left are closed. Requests
// that have such a table still are served.
func (p *Proxy) Settle() { p.bindings.settle() }

func (b *bindings) prepare(next []*route.Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
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
	for protocol := range before.using {
		if before.using[protocol].Load() != nil {
			next.using[protocol].Store(b.newMembers(backend, pool.Protocol(protocol)))
		}
	}
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
		for protocol := range old.using {
			if m := old.using[protocol].Load(); m != nil {
				b.release(m)
			}
		}
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

// find returns the members of a backend. transit means that they are the caller's alone, to be released after use.
func (b *bindings) find(backend *route.Backend, protocol pool.Protocol) (m *members, transit bool) {
	v, ok := b.byPlace.Load(backend)
	if !ok {
		return b.newMembers(backend, protocol), true
	}
	bound := v.(*binding)
	if m := bound.using[protocol].Load(); m != nil {
		return m, false
	}
	return b.firstUse(bound, protocol)
}

func (b *bindings) firstUse(bound *binding, protocol pool.Protocol) (m *members, transit bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := bound.using[protocol].Load(); m != nil {
		return m, false
	}
	m = b.newMembers(bound.backend, protocol)
	if bound.retired {
		return m, true
	}
	bound.using[protocol].Store(m)
	return m, false
}

func (b *bindings) newMembers(backend *route.Backend, protocol pool.Protocol) *members {
	m := &members{
		backend:   backend,
		group:     b.pool.Group(backend.Name + " " + protocol.String()),
		endpoints: make([]*pool.Endpoint, 0, len(backend.Endpoints)+len(backend.Draining)),
		ready:     len(backend.Endpoints),
	}
	for _, list := range [][]route.Endpoint{backend.Endpoints, backend.Draining} {
		for i := range list {
			m.endpoints = append(m.endpoints, b.pool.Endpoint(pool.Key{Address: list[i].Address(), Protocol: protocol}))
		}
	}
	return m
}

func (b *bindings) release(m *members) {
	for _, e := range m.endpoints {
		b.pool.Release(e)
	}
	b.pool.ReleaseGroup(m.group)
}
