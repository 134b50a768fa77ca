package proxy

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// pick makes ready the endpoints that may have the request. Which of them gets it is chosen for each try, by next.
func (x *exchange) pick() bool {
	if check := &x.Set.Health.Check; check.Path != "" {
		x.members.group.Watch(pool.Check(*check), x.members.endpoints[:x.members.ready])
	}
	x.stick()
	x.members.group.Requested()
	return x.admit()
}

// next chooses the endpoint for one more try, and nil when there is none: one that was not tried yet; when all were, as in nginx any
// but the last one, or that as well if it is the only one.
func (x *exchange) next() *pool.Endpoint {
	x.asked = time.Since(x.record.Time)
	i := x.choose()
	if n := len(x.tried); i < 0 && n > 0 && x.mayTurnBack() {
		x.tried = append(x.tried[:0], x.tried[n-1])
		if i = x.choose(); i < 0 {
			x.tried = x.tried[:0]
			i = x.choose()
		}
	}
	if i < 0 {
		return nil
	}
	x.tried = append(x.tried, i)
	return x.members.endpoints[i]
}

// mayTurnBack reports whether an endpoint may be asked that was asked before. Without a number of tries each is tried once, but for
// one whose kept connection turned out to be closed; and one that may get no further connection now will not get it a moment later.
func (x *exchange) mayTurnBack() bool {
	if x.failure != nil && x.failure.Cause == pool.Busy {
		return false
	}
	return x.Set.Retry.Tries > 0 || x.failure != nil && x.failure.Unused()
}

// choose finds a member that was not tried: where the session is at home, else by the balance. -1: there is none.
func (x *exchange) choose() int {
	if x.session.on {
		if i := x.home(); i >= 0 {
			return i
		}
	}
	return x.balance()
}

// candidates are the members that new requests may go to.
func (x *exchange) candidates() pool.Candidates {
	return pool.Candidates{
		Endpoints: x.members.endpoints[:x.members.ready], Tried: x.tried,
		SlowStart: x.Set.Balance.SlowStart, MaxInFlight: int64(x.Set.Overload.MaxInFlightEndpoint),
	}
}

// balance chooses among the endpoints for a request without a session: by what the route hashes, by the client's address where the
// Service asks for it, else by the route's algorithm.
func (x *exchange) balance() int {
	c, balance := x.candidates(), &x.Set.Balance
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
		return x.Ask.Target
	case "uri":
		return x.Ask.Path
	case "host":
		return x.Ask.Host
	case "remote_addr":
		return x.record.Client
	case "binary_remote_addr":
		addr, _ := netip.ParseAddr(x.record.Client)
		return string(addr.AsSlice())
	case "http_":
		return strings.Join(x.r.Header[part.Name], ", ")
	case "cookie_":
		return policy.AnyCookieValue(decide.Cookies(x.r.Header), part.Name)
	case "arg_":
		return argument(x.Ask.Target, part.Name)
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
