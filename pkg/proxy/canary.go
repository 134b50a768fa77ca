package proxy

import (
	"math/rand/v2"

	"github.com/usher-ingress/usher/pkg/route"
)

// backend is where the request goes: the route's own backend, or its canary (policy.Canary). A client that has a session keeps to its
// side, whatever the weight says, unless the route asks for ingress-nginx's legacy behaviour. A canary without endpoints takes
// nothing.
func (x *exchange) backend() *route.Backend {
	primary, canary := x.table.Backend(x.match.Route), x.canary()
	if canary == nil || len(canary.Endpoints) == 0 {
		return primary
	}
	if sticky := &x.set.Sticky; sticky.On && !sticky.LegacyCanary && x.table.StickyKeys != nil {
		switch {
		case x.holds(canary):
			return canary
		case primary != nil && x.holds(primary):
			return primary
		}
	}
	//nolint:gosec // chance, not a secret
	if picked, _ := x.match.Route.Canary.Policy.Picks(fields(x.r.Header), rand.Float64()); picked {
		return canary
	}
	return primary
}

func (x *exchange) canary() *route.Backend {
	c := x.match.Route.Canary
	if c == nil || c.Broken != "" || c.Backend < 0 || c.Backend >= len(x.table.Backends) {
		return nil
	}
	return x.table.Backends[c.Backend]
}

// holds tells whether the request has a session on a backend.
func (x *exchange) holds(b *route.Backend) bool {
	token := x.token()
	if token == "" {
		return false
	}
	members, transit := x.proxy.bindings.find(b, x.way(b))
	if transit {
		defer x.proxy.bindings.release(members)
	}
	if x.set.Sticky.Persistent {
		_, ok := members.tokens(x.table.StickyKeys).index[token]
		return ok
	}
	_, ok := members.sessions(x.table.StickyKeys).Number(token, &x.scratch)
	return ok
}
