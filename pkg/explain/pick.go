package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
)

// side says whether the route's canary has the request, and by which rule.
func (x *run) side() {
	c := x.Match.Route.Canary
	if c == nil {
		return
	}
	switch {
	case x.Rule == "":
		x.note(policy.PhasePick, "the canary of %s has no endpoints, so it takes nothing", c.Origin)
	case x.Canary:
		x.note(policy.PhasePick, "%s picks the canary %s of %s", x.Rule, x.Upstream.Backend.Name, c.Origin)
	case x.Rule == policy.ByWeight && c.Policy.Weight > 0:
		x.note(policy.PhasePick, "the canary %s takes %d of %d such requests, by %s", x.table.Backends[c.Backend].Name, c.Policy.Weight, c.Policy.Total, c.Origin)
	default:
		x.note(policy.PhasePick, "%s decides against the canary of %s", x.Rule, c.Origin)
	}
}

// choice says how the endpoint is chosen.
func (x *run) choice() string {
	b, set := x.Upstream.Backend, x.Set
	among := count(len(b.Endpoints), "endpoint")
	switch {
	case set.Sticky.On:
		return fmt.Sprintf("the one that cookie %s names, else one of %s", set.Sticky.Name, among)
	case len(set.Balance.HashBy) > 0:
		return fmt.Sprintf("by upstream-hash-by, of %s", among)
	case b.ClientIP:
		return fmt.Sprintf("by the client's address (sessionAffinity: ClientIP), of %s", among)
	case set.Balance.Algorithm != policy.RoundRobin:
		return fmt.Sprintf("by %s, of %s", set.Balance.Algorithm, among)
	}
	return "one of " + among
}
