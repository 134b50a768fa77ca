package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Who wins where several Ingresses want the same: the one created first, then the first by namespace and name. It is decided for
// each host, path and path type on its own, so that the loser keeps everything else. A malformed path gives way to a well-formed one,
// whatever their age.
//
// For example, if Ingress demo/old declares shop.example.com/cart and the newer demo/new declares /cart and /pay, demo/new still
// serves /pay, and is told that http://shop.example.com/cart goes to demo/old.

// virtualHost is one host and everybody who declares it.
type virtualHost struct {
	claims      []claim
	owner       *ingress    // see Resolver.owner; nil until asked for
	host        *route.Host // nil when nobody does any more
	diagnostics []route.Diagnostic
}

// claim is what one Ingress declares for one host.
type claim struct {
	*ingress
	rules *hostRules
}

// mergeHosts builds again the hosts that a change touched.
func (r *Resolver) mergeHosts() {
	for name := range r.work.hosts {
		v := r.hosts[name]
		before := v.diagnostics
		v.host, v.diagnostics = nil, nil
		if len(v.claims) == 0 {
			delete(r.hosts, name)
			r.forget(name)
		} else {
			r.merge(name, v)
		}
		r.problems.replace(before, v.diagnostics)
		r.options.Yield()
	}
}

// rebuiltHosts are the results of mergeHosts; nil for a host that is gone.
func (r *Resolver) rebuiltHosts() map[string]*route.Host {
	rebuilt := make(map[string]*route.Host, len(r.work.hosts))
	for name := range r.work.hosts {
		rebuilt[name] = nil
		if v := r.hosts[name]; v != nil {
			rebuilt[name] = v.host
		}
	}
	return rebuilt
}

func (r *Resolver) merge(name string, v *virtualHost) {
	slices.SortFunc(v.claims, func(a, b claim) int { return older(a.ingress, b.ingress) })
	m := merging{resolver: r, virtualHost: v, owner: r.owner(name)}
	if len(v.claims) > 1 || len(v.claims[0].rules.paths) > fewPaths {
		m.places = map[place]*route.Route{}
	}
	m.host = &route.Host{Name: name, TLS: r.tls.covers(name), Origin: v.origin()}
	primaries, canaries := v.byRole()
	own, strangers := m.byOwner(primaries)
	ownCanaries, otherCanaries := m.byOwner(canaries)
	if r.options.OwnPathsOnly {
		primaries, canaries = own, ownCanaries
	}
	m.handshake(own)
	m.findGuards(own)
	m.closeSiblings(primaries)
	for _, broken := range []bool{false, true} {
		for _, c := range primaries {
			for i := range c.rules.paths {
				if p := &c.rules.paths[i]; p.yields == broken {
					m.path(c, p)
					r.options.Yield()
				}
			}
		}
	}
	for _, c := range own {
		m.fallback(c)
	}
	m.ask()
	m.passthrough(primaries)
	for _, c := range canaries {
		m.attach(c)
	}
	m.reportStrangers(slices.Concat(strangers, otherCanaries))
	slices.SortFunc(m.routes, compareRoutes)
	m.host.Paths = route.NewPaths(m.routes)
	if len(primaries) == 0 {
		v.host = nil // canaries alone make no host, nor do those who may not declare it
	}
}

// origin is the oldest rule that makes the host.
func (v *virtualHost) origin() policy.Origin {
	first := v.claims[0]
	if i := slices.IndexFunc(v.claims, func(c claim) bool { return !c.isCanary() }); i >= 0 {
		first = v.claims[i]
	}
	return first.at(first.rules.field)
}

// byRole splits the claims, which are sorted, into those that make routes and those that lend a backend to them.
func (v *virtualHost) byRole() (primaries, canaries []claim) {
	if !slices.ContainsFunc(v.claims, func(c claim) bool { return c.isCanary() }) {
		return v.claims, nil
	}
	for _, c := range v.claims {
		if c.isCanary() {
			canaries = append(canaries, c)
		} else {
			primaries = append(primaries, c)
		}
	}
	return primaries, canaries
}

// compareRoutes orders the paths of a host as they are tried: Exact first, then the longest.
func compareRoutes(a, b *route.Route) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(len(b.Path), len(a.Path)), cmp.Compare(a.Path, b.Path))
}

// merging is one host being built.
type merging struct {
	resolver *Resolver
	*virtualHost
	owner  *ingress
	places map[place]*route.Route // nil where looking through routes is faster
	routes []*route.Route

	upstream *route.UpstreamTLS // of the owner's namespace; may be nil
	closing  map[string]claim   // by namespace: the Ingress whose server-snippet closes the host's paths of that namespace
}

const fewPaths = 8

// place is what only one Ingress can have. "/a" and "/a/" are the same Prefix.
type place struct {
	path string
	kind route.PathType
}

func (m *merging) path(c claim, p *path) {
	at := placeOf(p.path, p.kind)
	if winner := m.find(at); winner != nil {
		winner.Shadowed = append(winner.Shadowed, c.at(p.field))
		m.lost(c, p, winner)
		return
	}
	won := m.resolver.route(c.ingress, p)
	won.Host = m.host.Name
	m.guard(c, won)
	m.closedBySibling(c, won)
	m.routes = append(m.routes, won)
	if m.places != nil {
		m.places[at] = won
	}
}

func placeOf(path string, kind route.PathType) place {
	if kind == route.Prefix {
		path = strings.TrimSuffix(path, "/")
	}
	return place{path, kind}
}

// find gives the route that has a place already.
func (m *merging) find(at place) *route.Route {
	if m.places != nil {
		return m.places[at]
	}
	for _, r := range m.routes {
		if placeOf(r.Path, r.Type) == at {
			return r
		}
	}
	return nil
}

// route is the Route of a declared path.
func (r *Resolver) route(in *ingress, p *path) *route.Route {
	return &route.Route{
		Path: p.path, Type: p.kind, Ingress: in.ref, Origin: in.at(p.field),
		Backend: r.backends.index(p), Policy: in.policy, Broken: p.broken,
		ClientAuth: in.clientAuth, UpstreamTLS: in.upstream,
	}
}

func (m *merging) lost(c claim, p *path, winner *route.Route) {
	if p.yields {
		return // said already, with what is wrong about it
	}
	d := route.Diagnostic{
		Severity: route.Error, Reason: policy.PathConflict, Origin: c.at(p.field),
		Message: fmt.Sprintf("%s %s (%s) is declared by %s already%s", displayHost(m.host.Name), p.path, p.kind, winner.Origin, m.why(c, winner)),
		Effect:  fmt.Sprintf("%s %s; %s gets none of it", sampleURL(m.host.Name, p.path), m.resolver.goal(winner), p.goal()),
	}
	if c.isCanaryAtRest() && c.ref.Namespace == winner.Ingress.Namespace {
		d.Severity = route.Info
	}
	if winner.Broken == "" && p.broken == "" && winner.Backend == m.resolver.backends.index(p) {
		d.Severity = route.Warning
		d.Effect = fmt.Sprintf("%s %s with the settings of %s", sampleURL(m.host.Name, p.path), m.resolver.goal(winner), winner.Ingress)
	}
	m.diagnostics = append(m.diagnostics, d)
}

// why says what decided between two Ingresses.
func (m *merging) why(loser claim, winner *route.Route) string {
	return whyFirst(m.resolver.ingresses[object.Key{Namespace: winner.Ingress.Namespace, Name: winner.Ingress.Name}], loser.ingress)
}

func whyFirst(first, loser *ingress) string {
	switch {
	case first == nil || first == loser:
		return ""
	case first.ending != loser.ending:
		return ", which is not being deleted"
	case first.object.CreationTimestamp.Equal(&loser.object.CreationTimestamp):
		return ", which is first by name"
	}
	return ", which is older"
}

// fallback takes the spec.defaultBackend of the oldest Ingress with rules for this host, of the owner's namespace.
func (m *merging) fallback(c claim) {
	if c.ingress.fallback == nil {
		return
	}
	candidate := m.resolver.route(c.ingress, c.ingress.fallback)
	candidate.Host = m.host.Name
	m.guard(c, candidate)
	m.closedBySibling(c, candidate)
	if m.host.Default == nil {
		m.host.Default = candidate
		return
	}
	if d, ok := m.resolver.defaultConflict(m.host.Default, c.ingress); ok {
		d.Message = fmt.Sprintf("the default backend of %s is given by %s already, which is older or first by name", displayHost(m.host.Name), m.host.Default.Origin)
		d.Effect = fmt.Sprintf("what no path of %s matches %s; %s gets none of it", displayHost(m.host.Name), m.resolver.goal(m.host.Default), c.ingress.fallback.goal())
		m.diagnostics = append(m.diagnostics, d)
	}
}

// defaultConflict is the Diagnostic for an Ingress whose default backend lost, without its text. Two that name the same backend agree.
func (r *Resolver) defaultConflict(winner *route.Route, loser *ingress) (route.Diagnostic, bool) {
	if winner.Broken == "" && winner.Backend == r.backends.index(loser.fallback) {
		return route.Diagnostic{}, false
	}
	return route.Diagnostic{Severity: route.Error, Reason: policy.DefaultBackendConflict, Origin: loser.at(loser.fallback.field)}, true
}

// goal says where a route goes, for people.
func (r *Resolver) goal(won *route.Route) string {
	if won.Broken != "" {
		return "answers 503 " + string(won.Broken)
	}
	return "goes to " + r.backends.slots[won.Backend].key.String()
}

func (p *path) goal() string {
	if p.broken != "" {
		return "what is declared here"
	}
	return p.backend.String()
}

func displayHost(host string) string {
	if host == "" {
		return "any host"
	}
	return host
}

// ingressStates lists what became of each Ingress, by namespace and name; last is the list before, which is shared if nothing changed.
func (r *Resolver) ingressStates(last []route.IngressState) []route.IngressState {
	if len(r.work.states) > len(last)/8 {
		return r.allStates()
	}
	states, rest, changed := make([]route.IngressState, 0, len(last)+len(r.work.states)), last, false
	for _, key := range slices.SortedFunc(maps.Keys(r.work.states), compareKeys) {
		at := policy.Ref{Namespace: key.Namespace, Name: key.Name}
		i, found := slices.BinarySearchFunc(rest, at, func(s route.IngressState, at policy.Ref) int { return compareNames(s.Object, at) })
		in := r.ingresses[key]
		changed = changed || found != (in != nil) || found && !sameState(rest[i], in.state())
		states = append(states, rest[:i]...)
		if in != nil {
			states = append(states, in.state())
		}
		if rest = rest[i:]; found {
			rest = rest[1:]
		}
	}
	if !changed {
		return last
	}
	return append(states, rest...)
}

func compareKeys(a, b object.Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (r *Resolver) allStates() []route.IngressState {
	states := make([]route.IngressState, 0, len(r.ingresses))
	for _, in := range r.ingresses {
		states = append(states, in.state())
		r.options.Yield()
	}
	slices.SortFunc(states, func(a, b route.IngressState) int { return compareNames(a.Object, b.Object) })
	return states
}

func (in *ingress) state() route.IngressState {
	state := route.IngressState{Object: in.ref, UID: string(in.object.UID), Claimed: in.verdict.claimed, Class: in.verdict.class}
	if !state.Claimed {
		for i := range in.object.Spec.Rules {
			if name, err := hostName(in.object.Spec.Rules[i].Host); err == nil && name != "" {
				state.Hosts = append(state.Hosts, name)
			}
		}
	}
	return state
}

func sameState(a, b route.IngressState) bool {
	return a.Object == b.Object && a.UID == b.UID && a.Claimed == b.Claimed && a.Class == b.Class && slices.Equal(a.Hosts, b.Hosts)
}

func compareNames(a, b policy.Ref) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
