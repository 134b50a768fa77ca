package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// A host belongs to the namespace of its oldest Ingress with a rule for it, and so does a wildcard. What speaks for the whole host comes
// from the Ingresses of that namespace alone: certificates, the redirect to HTTPS, passthrough, orders by ACME, what handshakes agree on
// and ask for, and the default backend. Ingresses of other namespaces may have further paths, unless Options.OwnPathsOnly refuses
// them; what they say beyond that is ignored. Both sides are told.
//
// A name that nobody has a rule for belongs to the owner of the wildcard above it, and without one to the namespace of the oldest TLS
// entry for the name or that wildcard. A default backend without rules is a rule for any host.
//
// For example, if demo/shop has a rule for shop.example.com, then neither a TLS entry of the newer blue/pay for that name, nor one of
// blue/all for *.example.com, however old, changes what is served for shop.example.com.

// owner is the Ingress to whose namespace a host belongs; nil if no ordinary one has a rule for it.
func (r *Resolver) owner(host string) *ingress {
	v := r.hosts[host]
	if v == nil {
		v = &virtualHost{}
	}
	if v.owner == nil {
		v.owner = v.oldest()
	}
	if host != "" {
		return v.owner
	}
	first := v.owner
	for _, in := range r.catchAll {
		first = olderOf(first, in)
	}
	return first
}

// oldest is the oldest of those that make routes.
func (v *virtualHost) oldest() (first *ingress) {
	for _, c := range v.claims {
		if !c.isCanary() {
			first = olderOf(first, c.ingress)
		}
	}
	return first
}

func olderOf(a, b *ingress) *ingress {
	if a == nil || b != nil && older(b, a) < 0 {
		return b
	}
	return a
}

// nameOwner is the Ingress to whose namespace a name belongs that TLS entries speak of.
func (r *Resolver) nameOwner(name string) *ingress {
	if owner := r.owner(name); owner != nil {
		return owner
	}
	above := wildcardOf(name)
	if above != "" {
		if owner := r.owner(above); owner != nil {
			return owner
		}
	}
	return olderOf(r.tls.first(name), r.tls.first(above))
}

// forget takes a name out of the index of those below a wildcard when nobody speaks of it any more.
func (r *Resolver) forget(name string) {
	if r.hosts[name] == nil && r.tls.names[name] == nil {
		r.below.remove(name)
	}
}

// olderBelow is the first host by name below a wildcard that another namespace has had for longer; "" if there is none.
func (r *Resolver) olderBelow(wildcard string, in *ingress) (first string, owner *ingress) {
	for host := range r.below[wildcard] {
		o := r.owner(host)
		if o != nil && o.ref.Namespace != in.ref.Namespace && older(o, in) < 0 && (first == "" || host < first) {
			first, owner = host, o
		}
	}
	return first, owner
}

// isStranger reports whether a claim on the host being built is of another namespace than the owner's.
func (m *merging) isStranger(c claim) bool {
	return m.owner != nil && c.ref.Namespace != m.owner.ref.Namespace
}

// byOwner splits claims, which are sorted, into those of the owner's namespace and those of others.
func (m *merging) byOwner(claims []claim) (own, strangers []claim) {
	if !slices.ContainsFunc(claims, m.isStranger) {
		return claims, nil
	}
	for _, c := range claims {
		if m.isStranger(c) {
			strangers = append(strangers, c)
		} else {
			own = append(own, c)
		}
	}
	return own, strangers
}

// reportStrangers says what of other namespaces' declarations does not count, to them and to the owner.
func (m *merging) reportStrangers(strangers []claim) {
	if len(strangers) == 0 {
		return
	}
	for _, c := range strangers {
		m.notOwner(c, c.rules.field)
		d := &m.diagnostics[len(m.diagnostics)-1]
		if m.resolver.options.OwnPathsOnly {
			d.Effect = "no request takes a path of this rule, as --host-ownership=namespace has it"
			continue
		}
		d.Severity, d.Effect = route.Info, "paths that are free are served from here; what stands for the whole host comes from there"
		m.reportIgnored(c)
	}
	effect := "paths that are free are served from there; what stands for the whole host comes from here"
	if m.resolver.options.OwnPathsOnly {
		effect = "no request goes there"
	}
	at, _ := m.resolver.ownedBy(m.owner, m.host.Name)
	m.diagnostics = append(m.diagnostics, route.Diagnostic{
		Severity: route.Warning, Reason: policy.HostShared, Origin: at,
		Message: displayHost(m.host.Name) + " is declared in other namespaces too: " + describeStrangers(strangers), Effect: effect,
	})
}

// reportIgnored says what an Ingress of another namespace says for the whole host.
func (m *merging) reportIgnored(c claim) {
	ignored := func(field, effect string) {
		m.notOwner(c, field)
		m.diagnostics[len(m.diagnostics)-1].Effect = effect
	}
	if c.isCanary() {
		return
	}
	if writesTLS(c) {
		ignored(c.tlsField(), fmt.Sprintf("handshakes for %s follow %s", displayHost(m.host.Name), m.owner.ref))
	}
	if c.clientAuth.Restricts() {
		ignored(c.clientAuth.Origin.Field, "no client certificate is asked for on its behalf: its paths of this host answer 503")
	}
	if c.policy.Stream.Passthrough {
		ignored(c.annotation("ssl-passthrough").Field, "TLS for the host is not passed through to it: its paths of this host answer 503")
	}
	if c.ingress.fallback != nil {
		ignored(c.ingress.fallback.field, fmt.Sprintf("it answers nothing of %s", displayHost(m.host.Name)))
	}
}

// notOwner adds a Diagnostic for something that is the owner's to say.
func (m *merging) notOwner(c claim, field string) {
	m.diagnostics = append(m.diagnostics, notOwner(c.at(field), displayHost(m.host.Name), m.owner, whyFirst(m.owner, c.ingress)))
}

// notOwner is the Diagnostic, without its effect, for an Ingress that says something for a host of another namespace.
func notOwner(at policy.Origin, host string, owner *ingress, why string) route.Diagnostic {
	return route.Diagnostic{
		Severity: route.Error, Reason: policy.HostNotOwned, Origin: at,
		Message: fmt.Sprintf("%s belongs to %s, in another namespace%s", host, owner.ref, why),
	}
}

// ownedBy is where the owner of a name says what makes it the owner, and by which rule it is; "" if it is so by age alone.
func (r *Resolver) ownedBy(owner *ingress, name string) (at policy.Origin, rule string) {
	for _, host := range []string{name, wildcardOf(name)} {
		if v := r.hosts[host]; v != nil && (host != "" || name == "") {
			if i := slices.IndexFunc(v.claims, func(c claim) bool { return c.ingress == owner && !c.isCanary() }); i >= 0 {
				return owner.at(v.claims[i].rules.field), ", which has the oldest rule for " + displayHost(host)
			}
		}
	}
	if name == "" {
		return owner.at(owner.fallback.field), ""
	}
	for _, host := range []string{name, wildcardOf(name)} {
		if n := r.tls.names[host]; n != nil {
			if i := slices.IndexFunc(n.claims, func(c tlsClaim) bool { return c.ingress == owner }); i >= 0 {
				return owner.at(n.claims[i].field), ""
			}
		}
	}
	return owner.at("spec"), ""
}

const fewStrangers = 3

// describeStrangers names a few of them with a few of their paths.
func describeStrangers(strangers []claim) string {
	var out []string
	for _, c := range strangers[:min(len(strangers), fewStrangers)] {
		var paths []string
		for i := range c.rules.paths[:min(len(c.rules.paths), fewStrangers)] {
			paths = append(paths, c.rules.paths[i].path)
		}
		if len(c.rules.paths) > fewStrangers {
			paths = append(paths, "...")
		}
		if text := c.ref.String(); len(paths) > 0 {
			out = append(out, text+" ("+strings.Join(paths, " ")+")")
		} else {
			out = append(out, text)
		}
	}
	if len(strangers) > fewStrangers {
		return strings.Join(out, ", ") + " and others"
	}
	return strings.Join(out, ", ")
}
