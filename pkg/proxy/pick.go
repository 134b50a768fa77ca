package proxy

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// pick finds the endpoints that may have the request. Which of them gets it is chosen for each try, by next.
func (x *exchange) pick() bool {
	x.members, x.transit = x.proxy.bindings.find(x.record.Backend, x.way(x.record.Backend))
	if x.passed != nil && x.comesBack() {
		return x.fail(policy.LoopDetected)
	}
	x.say(loopField, x.members.mark)
	if check := &x.set.Health.Check; check.Path != "" {
		x.members.group.Watch(pool.Check(*check), x.members.endpoints[:x.members.ready])
	}
	x.stick()
	x.members.group.Requested()
	return x.admit()
}

// protocol is how the endpoints are spoken to: as the route says, else as the Service does, else HTTP/1.1.
func (x *exchange) protocol(b *route.Backend) pool.Protocol {
	protocol := x.set.Upstream.Protocol
	if protocol == policy.ProtocolUnset {
		protocol = b.Protocol
	}
	switch protocol {
	case policy.HTTPS:
		return pool.HTTP1TLS
	case policy.GRPC:
		return pool.H2C
	case policy.GRPCS:
		return pool.H2
	case policy.AutoHTTP:
		if x.ask.Scheme == "https" {
			return pool.HTTP1TLS
		}
	}
	return pool.HTTP1
}

// way is the protocol, and where that has TLS what the route wants of it.
func (x *exchange) way(b *route.Backend) way {
	w := way{protocol: x.protocol(b)}
	if w.protocol == pool.HTTP1TLS || w.protocol == pool.H2 {
		w.tls = x.match.Route.UpstreamTLS
	}
	return w
}

// next chooses the endpoint for one more try, never one that was tried already, and nil when none is left. An endpoint whose
// connection had been kept, and turned out to be closed, has not been asked: it gets another chance when it is the only one.
func (x *exchange) next() *pool.Endpoint {
	if n := len(x.tried); n > 0 && n >= x.members.ready && x.failure != nil && x.failure.Unused() {
		x.tried = x.tried[:0]
	}
	x.asked = time.Since(x.record.Time)
	i := -1
	if x.session.on {
		i = x.home()
	}
	if i < 0 {
		i = x.balance()
	}
	if i < 0 {
		return nil
	}
	x.tried = append(x.tried, i)
	return x.members.endpoints[i]
}

// candidates are the members that new requests may go to.
func (x *exchange) candidates() pool.Candidates {
	return pool.Candidates{
		Endpoints: x.members.endpoints[:x.members.ready], Tried: x.tried,
		SlowStart: x.set.Balance.SlowStart, MaxInFlight: int64(x.set.Overload.MaxInFlightEndpoint),
	}
}

// balance chooses among the endpoints for a request without a session: by what the route hashes, by the client's address where the
// Service asks for it, else by the route's algorithm.
func (x *exchange) balance() int {
	c, balance := x.candidates(), &x.set.Balance
	switch {
	case len(balance.HashBy) > 0:
		key, seeds := x.hashKey(balance.HashBy), x.members.seeds()[:x.members.ready]
		if balance.Subset {
			return c.Subset(key, seeds, x.members.ring(), pool.Draw{Size: balance.SubsetSize, Random: rand.Uint32()}) //nolint:gosec // chance, not a secret
		}
		return c.Rendezvous(key, seeds)
	case x.members.backend.ClientIP:
		return c.Rendezvous(pool.Hash(x.record.Client), x.members.seeds()[:x.members.ready])
	case balance.Algorithm == policy.EWMA:
		return c.EWMA(rand.Uint64()) //nolint:gosec // chance
	case balance.Algorithm == policy.LeastRequest:
		return c.LeastRequest(rand.Uint64()) //nolint:gosec // chance
	}
	return c.RoundRobin(x.members.group.Turn())
}

// hashKey is the hash of what upstream-hash-by names.
func (x *exchange) hashKey(parts []policy.Part) uint64 {
	if len(parts) == 1 {
		return pool.Hash(x.partOf(parts[0]))
	}
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(x.partOf(part))
	}
	return pool.Hash(b.String())
}

func (x *exchange) partOf(part policy.Part) string {
	switch part.Variable {
	case "request_uri":
		return x.ask.Target
	case "uri":
		return x.ask.Path
	case "host":
		return x.ask.Host
	case "remote_addr":
		return x.record.Client
	case "binary_remote_addr":
		addr, _ := netip.ParseAddr(x.record.Client)
		return string(addr.AsSlice())
	case "http_":
		return joined(x.r.Header[part.Name])
	case "cookie_":
		return policy.AnyCookieValue(cookies(x.r.Header), part.Name)
	case "arg_":
		return argument(x.ask.Target, part.Name)
	}
	return part.Text
}

// argument is the first value of a query parameter, as it was written. Names are compared as nginx does, in any case.
func argument(target, name string) string {
	_, query, _ := strings.Cut(target, "?")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(key); err == nil && strings.EqualFold(plain, name) {
			return value
		}
	}
	return ""
}
