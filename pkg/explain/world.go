package explain

import (
	"math"
	"net/netip"
	"slices"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// world answers what a decision asks of the world, and does nothing: decide.Env.
type world struct{ asked *asked }

// newID stands for an id that is made for each request.
const newID = "(32 hex digits, new for each request)"

// NewID implements decide.Env.
func (w world) NewID() string { return newID }

// LocalPort implements decide.Env. Nobody knows where a load balancer in front takes the connection.
func (w world) LocalPort() int { return 0 }

// Judge implements decide.Env. Where nobody says what the client shows, one that passes is taken for granted.
func (w world) Judge(auth *route.ClientAuth) *decide.Certificate {
	switch shown := w.asked.shown; {
	case shown == nil:
		return &decide.Certificate{Assumed: true, Verdict: policy.Verdict{Shown: true}}
	case len(shown) == 0:
		return nil
	default:
		return &decide.Certificate{
			Verdict: auth.CAs.Verify(shown, auth.Policy.Depth, w.asked.now),
			Subject: policy.DN(shown[0].RawSubject), Issuer: policy.DN(shown[0].RawIssuer), CommonNames: policy.CommonNames(shown[0]),
		}
	}
}

// Holds implements decide.Env.
func (w world) Holds(d *decide.Decision, to decide.Upstream, token string) bool {
	keys, b := d.Table.StickyKeys, to.Backend
	if !d.Set.Sticky.Persistent {
		_, ok := keys.Sessions(b.Name).Number(token, &policy.Scratch{})
		return ok
	}
	return slices.ContainsFunc(slices.Concat(b.Endpoints, b.Draining), func(e route.Endpoint) bool { return keys.IsPod(token, b.Name, e.Identity()) })
}

// Chance implements decide.Env: a share of the traffic is not this request's, unless it is all.
func (w world) Chance() float64 { return math.Nextafter(1, 0) }

// Count implements decide.Env.
func (w world) Count(*policy.Limit, policy.Ref, netip.Addr) decide.Count {
	w.asked.counts = true
	return decide.Within
}

// Mark implements decide.Env.
func (w world) Mark(to decide.Upstream) string { return "(this process);to=" + to.Backend.Name }
