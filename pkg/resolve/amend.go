package resolve

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/route"
)

// An Ingress of which only the rules changed is amended: it stays what it is to everybody who knows it, and only the hosts whose rules are
// others, and the backends that come or go, are looked at again. One rule among 10,000 is then one host to merge.

// amend takes over the rules of now, if nothing else about the Ingress changed; false if something did.
func (r *Resolver) amend(in, now *ingress) bool {
	if !in.onlyRulesDiffer(now.object, now.verdict, now.ending) || in.catchAll != now.catchAll || len(in.entries) > 0 && !sameNames(in.hosts, now.hosts) {
		return false
	}
	r.problems.replace(in.diagnostics, now.diagnostics)
	if sameNames(in.hosts, now.hosts) {
		for i, h := range now.hosts {
			now.hosts[i] = r.amendHost(in, in.hosts[i], h)
		}
	} else {
		r.amendHosts(in, now)
	}
	r.changeUses(in, now.uses)
	in.object, in.hosts, in.uses, in.diagnostics = now.object, now.hosts, now.uses, now.diagnostics
	return true
}

// amendHosts is for hosts that come and go.
func (r *Resolver) amendHosts(in, now *ingress) {
	before := make(map[string]*hostRules, len(in.hosts))
	for _, h := range in.hosts {
		before[h.name] = h
	}
	for i, h := range now.hosts {
		now.hosts[i] = r.amendHost(in, before[h.name], h)
		delete(before, h.name)
	}
	for _, gone := range before {
		r.unclaim(in, gone)
	}
}

// amendHost puts now in the place of old, which may be nil, unless they are the same; it returns the one that counts.
func (r *Resolver) amendHost(in *ingress, old, now *hostRules) *hostRules {
	if old == now || old != nil && old.field == now.field && slices.Equal(old.paths, now.paths) {
		return old
	}
	r.unclaim(in, old)
	r.claim(in, now)
	return now
}

func sameNames(a, b []*hostRules) bool {
	return slices.EqualFunc(a, b, func(x, y *hostRules) bool { return x.name == y.name })
}

// onlyRulesDiffer reports whether another version of an Ingress may differ in its rules but in nothing else that Usher reads.
func (in *ingress) onlyRulesDiffer(o *networkingv1.Ingress, v verdict, ending bool) bool {
	was := in.object
	return in.verdict.claimed && in.verdict == v && in.ending == ending && was.UID == o.UID && was.CreationTimestamp.Equal(&o.CreationTimestamp) &&
		maps.Equal(was.Annotations, o.Annotations) && same(was.Spec.DefaultBackend, o.Spec.DefaultBackend, sameDestination) &&
		slices.EqualFunc(was.Spec.TLS, o.Spec.TLS, func(a, b networkingv1.IngressTLS) bool {
			return a.SecretName == b.SecretName && slices.Equal(a.Hosts, b.Hosts)
		})
}

// readAgain reads an Ingress of which another version is known. Where only rules differ, and there is nothing to be said about any, the
// rest is taken from there.
func (r *Resolver) readAgain(old *ingress, o *networkingv1.Ingress, v verdict) *ingress {
	if old == nil || len(o.Spec.Rules) != len(old.object.Spec.Rules) || !old.onlyRulesDiffer(o, v, r.isEnding(o)) || old.saysOfRules() {
		return r.readIngress(o, v)
	}
	names, ok := changedHosts(old.object.Spec.Rules, o.Spec.Rules, r.options.Yield)
	some := &ingress{object: o, ref: old.ref, policy: old.policy, fallback: old.fallback}
	if ok = ok && some.declaredPaths() <= mostPaths; ok {
		for i := range o.Spec.Rules {
			if names[strings.ToLower(o.Spec.Rules[i].Host)] {
				some.readRule(i, mostPaths, r.options.DisableCatchAll)
			}
		}
	}
	if !ok || len(some.diagnostics) > 0 {
		return r.readIngress(o, v)
	}
	now := *old
	now.object, now.hosts = o, slices.Clone(old.hosts)
	for i, h := range now.hosts {
		if read := some.byName[h.name]; read != nil {
			now.hosts[i] = read
		}
	}
	now.uses = nil
	now.collectUses()
	return &now
}

// saysOfRules reports whether anything is wrong with a rule.
func (in *ingress) saysOfRules() bool {
	return slices.ContainsFunc(in.diagnostics, func(d route.Diagnostic) bool { return strings.HasPrefix(d.Origin.Field, "spec.rules") })
}

// changedHosts are the hosts of the rules that differ; false if a rule is for another host than it was.
func changedHosts(before, now []networkingv1.IngressRule, yield func()) (map[string]bool, bool) {
	names := map[string]bool{}
	for i := range now {
		yield()
		if sameRule(&before[i], &now[i]) {
			continue
		}
		if before[i].Host != now[i].Host {
			return nil, false
		}
		names[strings.ToLower(now[i].Host)] = true
	}
	return names, true
}

// sameRule and what follows are the API's types compared without reflection, which took most of the time.
func sameRule(a, b *networkingv1.IngressRule) bool {
	return a.Host == b.Host && same(a.HTTP, b.HTTP, func(a, b *networkingv1.HTTPIngressRuleValue) bool {
		return slices.EqualFunc(a.Paths, b.Paths, func(a, b networkingv1.HTTPIngressPath) bool {
			return a.Path == b.Path && sameValue(a.PathType, b.PathType) && sameDestination(&a.Backend, &b.Backend)
		})
	})
}

func sameDestination(a, b *networkingv1.IngressBackend) bool {
	return sameValue(a.Service, b.Service) && same(a.Resource, b.Resource, func(a, b *corev1.TypedLocalObjectReference) bool {
		return a.Kind == b.Kind && a.Name == b.Name && sameValue(a.APIGroup, b.APIGroup)
	})
}

func sameValue[T comparable](a, b *T) bool { return same(a, b, func(a, b *T) bool { return *a == *b }) }

// same reports whether both are nil, or neither is and they are equal.
func same[T any](a, b *T, equal func(a, b *T) bool) bool {
	return a == b || a != nil && b != nil && equal(a, b)
}

// claim makes what an Ingress declares for a host count, and unclaim undoes that; nil is nothing.
func (r *Resolver) claim(in *ingress, h *hostRules) {
	host := r.hosts[h.name]
	if host == nil {
		host = &virtualHost{}
		r.hosts[h.name] = host
		r.below.add(h.name)
	}
	host.claims, host.owner = append(host.claims, claim{in, h}), nil
	r.work.claimed(h.name)
	r.options.Yield()
}

func (r *Resolver) unclaim(in *ingress, h *hostRules) {
	if h == nil {
		return
	}
	host := r.hosts[h.name]
	host.claims, host.owner = slices.DeleteFunc(host.claims, func(c claim) bool { return c.ingress == in }), nil
	r.work.claimed(h.name)
	r.options.Yield()
}

// changeUses puts other backends in the place of those that an Ingress goes to.
func (r *Resolver) changeUses(in *ingress, now []use) {
	if slices.Equal(in.uses, now) {
		return
	}
	before := make(map[use]bool, len(in.uses))
	for _, u := range in.uses {
		before[u] = true
	}
	var come []use
	for _, u := range now {
		if !before[u] {
			come = append(come, u)
		}
		delete(before, u)
	}
	for u := range before {
		r.backends.release(u.key, in)
	}
	for _, u := range come {
		r.backends.acquire(u.key, user{ingress: in, field: u.field})
	}
}

// replaceIngress puts object in place of what was known under key; nil removes it.
func (r *Resolver) replaceIngress(key object.Key, object *networkingv1.Ingress) {
	old := r.ingresses[key]
	var now *ingress
	if object != nil {
		v := r.classes.verdict(object)
		if old != nil && old.verdict == v && old.ending == r.isEnding(object) && sameDeclaration(old.object, object) {
			old.object = object
			return
		}
		now = r.readAgain(old, object, v)
	}
	r.options.Yield()
	if old != nil && now != nil && r.amend(old, now) {
		return
	}
	if now != nil {
		r.ingresses[key] = now
		r.enter(now)
	} else {
		delete(r.ingresses, key)
	}
	if old != nil {
		r.leave(old)
	}
	r.work.states[key] = true
}
