package proxy

import (
	"net/netip"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// limit holds a client to the limits of the Ingress (policy.Limit). It comes after "no endpoints", as in ingress-nginx.
func (x *exchange) limit() bool {
	l := &x.set.Limit
	if l.Connections == 0 && l.RPS == 0 && l.RPM == 0 {
		return false
	}
	client, err := netip.ParseAddr(x.record.Client)
	if err != nil || !l.Applies(client) {
		return false
	}
	owner := x.match.Route.Ingress
	key := pool.LimitKey{Namespace: owner.Namespace, Name: owner.Name, Client: client}
	limiter := x.proxy.bindings.pool.Limiter()
	if !x.withinRates(limiter, key) {
		return x.failWith(l.RateStatus, policy.RateLimited)
	}
	key.Kind = pool.AtATime
	if l.Connections > 0 {
		if !limiter.Acquire(key, l.Connections) {
			return x.failWith(l.ConnStatus, policy.ConnectionLimit)
		}
		x.limited = key
	}
	return false
}

// withinRates counts the request against limit-rps and limit-rpm.
func (x *exchange) withinRates(limiter *pool.Limiter, key pool.LimitKey) bool {
	l := &x.set.Limit
	var list [2]pool.Rate
	rates := list[:0]
	if l.RPS > 0 {
		rates = append(rates, pool.Rate{Kind: pool.PerSecond, PerSecond: float64(l.RPS), Burst: float64(l.RPS * l.BurstMultiplier)})
	}
	if l.RPM > 0 {
		rates = append(rates, pool.Rate{Kind: pool.PerMinute, PerSecond: float64(l.RPM) / 60, Burst: float64(l.RPM * l.BurstMultiplier)})
	}
	return limiter.Allow(key, rates...)
}

// admit holds the Service to the requests it may have in flight (policy.Overload).
func (x *exchange) admit() bool {
	o := &x.set.Overload
	if o.MaxInFlight == 0 {
		return false
	}
	if !x.members.group.Enter(x.r.Context(), o.MaxInFlight, o.QueueTimeout) {
		if x.clientLeft() {
			return x.fail(policy.ClientClosed)
		}
		return x.fail(policy.Overloaded)
	}
	x.admitted = true
	return false
}

// leaveLimits gives back what limit and admit took.
func (x *exchange) leaveLimits() {
	if x.limited.Client.IsValid() {
		x.proxy.bindings.pool.Limiter().Release(x.limited)
	}
	if x.admitted {
		x.members.group.Exit()
	}
}
