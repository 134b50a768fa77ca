package proxy

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// world is what the decision about a request may ask of this process: decide.Env.
type world exchange

// NewID implements decide.Env.
func (w *world) NewID() string {
	if w.record.ID == "" { // a request that waited is decided about again
		w.record.ID = w.ids.next()
	}
	return w.record.ID
}

// LocalPort implements decide.Env.
func (w *world) LocalPort() int {
	if local, ok := w.r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return local.Port
	}
	return 0
}

// Judge implements decide.Env.
func (w *world) Judge(auth *route.ClientAuth) *decide.Certificate {
	return w.proxy.judged.of(w.r.TLS.PeerCertificates, auth)
}

// Holds implements decide.Env.
func (w *world) Holds(d *decide.Decision, to decide.Upstream, token string) bool {
	members, transit := w.proxy.bindings.find(to.Backend, wayTo(to))
	if transit {
		defer w.proxy.bindings.release(members)
	}
	if d.Set.Sticky.Persistent {
		_, ok := members.tokens(d.Table.StickyKeys).index[token]
		return ok
	}
	_, ok := members.sessions(d.Table.StickyKeys).Number(token, &w.scratch)
	return ok
}

// Chance implements decide.Env.
func (w *world) Chance() float64 { return rand.Float64() } //nolint:gosec // chance, not a secret

// Count implements decide.Env.
func (w *world) Count(l *policy.Limit, ingress policy.Ref, client netip.Addr) decide.Count {
	key := pool.LimitKey{Namespace: ingress.Namespace, Name: ingress.Name, Client: client}
	limiter := w.proxy.bindings.pool.Limiter()
	if !withinRates(l, limiter, key) {
		return decide.OverRate
	}
	key.Kind = pool.AtATime
	if l.Connections > 0 {
		if !limiter.Acquire(key, l.Connections) {
			return decide.OverConnections
		}
		w.limited = key
	}
	return decide.Within
}

// Mark implements decide.Env. The endpoints that bear the mark are those that the request then goes to.
func (w *world) Mark(to decide.Upstream) string {
	w.members, w.transit = w.proxy.bindings.find(to.Backend, wayTo(to))
	return w.members.mark
}

// wayTo is the pool's word for how endpoints are spoken to.
func wayTo(to decide.Upstream) way {
	switch to.Protocol {
	case policy.HTTPS:
		return way{pool.HTTP1TLS, to.TLS}
	case policy.GRPC:
		return way{protocol: pool.H2C}
	case policy.GRPCS:
		return way{pool.H2, to.TLS}
	}
	return way{protocol: pool.HTTP1}
}

// addressOf cuts the port, and the zone, off "ip:port".
func addressOf(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		remote = remote[:i]
	}
	if remote != "" && remote[0] == '[' {
		remote = strings.TrimSuffix(remote[1:], "]")
		remote, _, _ = strings.Cut(remote, "%")
	}
	return remote
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
