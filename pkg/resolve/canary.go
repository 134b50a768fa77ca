package resolve

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// A canary is an Ingress with canary: "true". It makes no host and no path of its own: each of its paths is attached to the Route that
// an ordinary Ingress has for the same host, path and path type, and to nothing else. In ingress-nginx a canary hangs on the Service
// and reaches every path that uses it; here it does not. One canary for each Route, the oldest, and from the namespace of the primary
// Ingress only: otherwise anybody could take a share of anybody's traffic.

// isCanary reports whether the Ingress only lends its backends to another.
func (in *ingress) isCanary() bool { return in.policy != nil && in.policy.Canary.On }

// isCanaryAtRest reports whether somebody wrote canary: "false", as Flagger does to its copy of an Ingress between two rollouts. It is an
// ordinary Ingress then, which is meant to lose its paths to the older primary.
func (in *ingress) isCanaryAtRest() bool { return !in.isCanary() && in.policy.Wrote("canary") }

// attach gives the canaries of a host to its routes.
func (m *merging) attach(c claim) {
	for i := range c.rules.paths {
		p := &c.rules.paths[i]
		primary := m.find(placeOf(p.path, p.kind))
		switch {
		case primary == nil:
			m.unmatched(c, p, fmt.Sprintf("no other Ingress has %s %s with pathType %s", displayHost(m.host.Name), p.path, p.kind))
		case primary.Ingress.Namespace != c.ref.Namespace:
			m.unmatched(c, p, fmt.Sprintf("%s is in another namespace; want the canary in the same one", primary.Origin))
		case primary.Canary != nil:
			m.unmatched(c, p, fmt.Sprintf("%s has the canary %s already, which is older or first by name", primary.Origin, primary.Canary.Origin))
		default:
			primary.Canary = &route.Canary{
				Backend: m.resolver.backends.index(p), Policy: &c.policy.Canary, Ingress: c.ref, Origin: c.at(p.field), Broken: p.broken,
			}
		}
	}
}

func (m *merging) unmatched(c claim, p *path, message string) {
	m.diagnostics = append(m.diagnostics, route.Diagnostic{
		Severity: route.Warning, Reason: policy.CanaryUnmatched, Origin: c.at(p.field),
		Message: message, Effect: "the canary gets no traffic",
	})
}
