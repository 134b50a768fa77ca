package proxy

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// manyBackends are as many as a large cluster has, with three endpoints each.
func manyBackends(n int) []*route.Backend {
	out := make([]*route.Backend, n)
	for i := range out {
		b := &route.Backend{Name: fmt.Sprintf("demo/app-%d:80", i)}
		for e := range 3 {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(e)})
			b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: netip.AddrPortFrom(addr, 8080), Ready: true})
		}
		out[i] = b
	}
	return out
}

// BenchmarkEndpointChange is what one endpoint's change costs among 60,000 that are all in use.
func BenchmarkEndpointChange(b *testing.B) {
	backends := manyBackends(20_000)
	p := New(Options{Pool: pool.New(pool.Options{})})
	p.Prepare(&route.Table{Backends: backends})
	for _, backend := range backends {
		p.bindings.find(backend, way{protocol: pool.HTTP1})
	}
	tables := [2][]*route.Backend{backends, append([]*route.Backend(nil), backends...)}
	changed := *backends[7919]
	changed.Endpoints = changed.Endpoints[1:]
	tables[1][7919] = &changed
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		p.Prepare(&route.Table{Backends: tables[i%2]})
		p.Settle()
	}
}

func TestBindings(t *testing.T) {
	p := New(Options{Pool: pool.New(pool.Options{})})
	defer p.bindings.pool.Close()
	count := func() int { return len(p.bindings.pool.Snapshot()) }
	first := manyBackends(3)
	p.Prepare(&route.Table{Backends: first})
	if count() != 0 {
		t.Error("backends that nobody asked for have endpoints")
	}
	used, transit := p.bindings.find(first[1], way{protocol: pool.HTTP1})
	if transit || count() != 3 {
		t.Errorf("transit %v, %d endpoints", transit, count())
	}
	changed := *first[1]
	changed.Endpoints = append([]route.Endpoint{{Addr: netip.MustParseAddrPort("10.9.9.9:80")}}, changed.Endpoints[:2]...)
	second := []*route.Backend{&changed, first[0], first[2]} // another place, too
	p.Prepare(&route.Table{Backends: second})
	if count() != 4 {
		t.Errorf("%d endpoints between Prepare and Settle, want those of both", count())
	}
	p.Settle()
	if count() != 3 {
		t.Errorf("%d endpoints after Settle", count())
	}
	after, transit := p.bindings.find(&changed, way{protocol: pool.HTTP1})
	if transit || after.endpoints[1] != used.endpoints[0] || after.group != used.group {
		t.Error("an endpoint that both have was made anew")
	}
	late, transit := p.bindings.find(first[1], way{protocol: pool.HTTP1}) // a request that still has the first table
	if !transit || late.endpoints[0] != used.endpoints[0] || count() != 4 {
		t.Errorf("transit %v, %d endpoints", transit, count())
	}
	p.bindings.release(late)
	if count() != 3 {
		t.Errorf("%d endpoints after the late request", count())
	}
	p.Prepare(&route.Table{Backends: first}) // and back again, before Settle
	p.Prepare(&route.Table{Backends: second})
	p.Settle()
	if again, _ := p.bindings.find(&changed, way{protocol: pool.HTTP1}); again != after || count() != 3 {
		t.Errorf("%d endpoints after a swap that was taken back", count())
	}
	p.Prepare(&route.Table{})
	p.Settle()
	if count() != 0 {
		t.Errorf("%d endpoints are left of nothing", count())
	}
}
