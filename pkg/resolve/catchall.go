package resolve

import (
	"fmt"
	"slices"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// defaultRoutes are what answers requests that no host or path claims: the oldest Ingress that has only a default backend, and the
// Service the controller was started with. The first answers only what belongs to nobody or to its own namespace.
func (r *Resolver) defaultRoutes() (byIngress, byController *route.Route) {
	if r.options.DefaultBackend != (object.Key{}) {
		p := &path{path: "/", kind: route.Prefix, backend: backendKey{service: r.options.DefaultBackend}}
		byController = &route.Route{Path: p.path, Type: p.kind, Backend: r.backends.index(p), Policy: r.classes.global}
	}
	slices.SortFunc(r.catchAll, older)
	var winner *ingress
	var found []route.Diagnostic
	for _, in := range r.catchAll {
		d, ok := route.Diagnostic{}, false
		switch {
		case r.options.OwnPathsOnly && in.ref.Namespace != r.owner("").ref.Namespace:
			d, ok = r.refusedCatchAll(in), true
		case winner == nil:
			winner, byIngress = in, r.route(in, in.fallback)
		default:
			d, ok = r.lostCatchAll(in, byIngress)
		}
		if ok {
			found = append(found, d)
		}
	}
	found = append(found, r.sharedCatchAll(winner)...)
	r.problems.replace(r.catchAllDiagnostics, found)
	r.catchAllDiagnostics = found
	if byIngress == nil {
		return byController, byController
	}
	return byIngress, byController
}

func (r *Resolver) lostCatchAll(in *ingress, winner *route.Route) (route.Diagnostic, bool) {
	d, ok := r.defaultConflict(winner, in)
	d.Message = fmt.Sprintf("the default backend of all traffic is given by %s already, which is older or first by name", winner.Origin)
	d.Effect = fmt.Sprintf("what no host or path claims %s; %s gets none of it", r.goal(winner), in.fallback.goal())
	return d, ok
}

func (r *Resolver) refusedCatchAll(in *ingress) route.Diagnostic {
	d := notOwner(in.at(in.fallback.field), displayHost(""), r.owner(""), whyFirst(r.owner(""), in))
	d.Effect = "it answers nothing, as --host-ownership=namespace has it"
	return d
}

// sharedCatchAll says to both sides that default backends of all traffic, or host-less rules beside them, are of several namespaces.
func (r *Resolver) sharedCatchAll(winner *ingress) (found []route.Diagnostic) {
	owner := r.owner("")
	other := func(in *ingress) bool { return in.ref.Namespace != owner.ref.Namespace }
	i := slices.IndexFunc(r.catchAll, other)
	if i < 0 {
		return nil
	}
	if winner != nil && other(winner) {
		d := notOwner(winner.at(winner.fallback.field), displayHost(""), owner, whyFirst(owner, winner))
		d.Severity, d.Effect = route.Info, "it answers what no rule claims"
		found = append(found, d)
	}
	at, _ := r.ownedBy(owner, "")
	d := route.Diagnostic{
		Severity: route.Warning, Reason: policy.HostShared, Origin: at,
		Message: fmt.Sprintf("%s, of another namespace, has a default backend of all traffic too", r.catchAll[i].ref),
		Effect:  "it answers nothing",
	}
	if winner == r.catchAll[i] {
		d.Effect = "it answers what no rule claims"
	}
	return append(found, d)
}
