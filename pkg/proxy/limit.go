package proxy

import (
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// withinRates counts the request against limit-rps and limit-rpm.
func withinRates(l *policy.Limit, limiter *pool.Limiter, key pool.LimitKey) bool {
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
	o := &x.Set.Overload
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
