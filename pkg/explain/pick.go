package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// chooseBackend gives the route's backend, or its canary where a rule other than chance decides for that. A session cookie, which
// goes before the rules, cannot be judged without its key.
func (x *run) chooseBackend() *route.Backend {
	primary, c := x.table.Backend(x.match.Route), x.match.Route.Canary
	if c == nil {
		return primary
	}
	canary := x.table.Backend(&route.Route{Backend: c.Backend})
	if c.Broken != "" || canary == nil || len(canary.Endpoints) == 0 {
		x.Note(policy.PhasePick, fmt.Sprintf("the canary of %s has no endpoints, so it takes nothing", c.Origin))
		return primary
	}
	always, rule := c.Policy.Picks(x.request.header, 1)
	lucky, _ := c.Policy.Picks(x.request.header, 0)
	switch {
	case always:
		x.Note(policy.PhasePick, fmt.Sprintf("%s picks the canary %s of %s", rule, canary.Name, c.Origin))
		return canary
	case lucky:
		x.Note(policy.PhasePick, fmt.Sprintf("the canary %s takes %d of %d such requests, by %s", canary.Name, c.Policy.Weight, c.Policy.Total, c.Origin))
	default:
		x.Note(policy.PhasePick, fmt.Sprintf("%s decides against the canary of %s", rule, c.Origin))
	}
	return primary
}

// choice says how the endpoint is chosen.
func (x *run) choice(set *policy.Set) string {
	among := count(len(x.backend.Endpoints), "endpoint")
	switch {
	case set.Sticky.On:
		return fmt.Sprintf("the one that cookie %s names, else one of %s", set.Sticky.Name, among)
	case len(set.Balance.HashBy) > 0:
		return fmt.Sprintf("by upstream-hash-by, of %s", among)
	case x.backend.ClientIP:
		return fmt.Sprintf("by the client's address (sessionAffinity: ClientIP), of %s", among)
	case set.Balance.Algorithm != policy.RoundRobin:
		return fmt.Sprintf("by %s, of %s", set.Balance.Algorithm, among)
	}
	return "one of " + among
}
