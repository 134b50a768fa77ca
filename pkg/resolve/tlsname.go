package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// wildcardOwner is what the names below a wildcard depend on.
type wildcardOwner struct {
	owner   policy.Ref
	at      policy.Origin // what makes it the owner; Diagnostics of those names say so
	created time.Time
	ending  bool
	entries bool // whether TLS entries speak of the wildcard
	own     bool // whether some of them are of the owner's namespace
}

// speaks notes that the TLS entries of an Ingress for a name changed.
func (w *work) speaks(name string, in *ingress) {
	w.names[name] = true
	if !strings.HasPrefix(name, "*") {
		return
	}
	if w.spoken[name] == nil {
		w.spoken[name] = map[string]bool{}
	}
	w.spoken[name][in.ref.Namespace] = true
}

// settle puts the claims in order.
func (n *tlsName) settle() {
	if n.settled {
		return
	}
	slices.SortStableFunc(n.claims, func(a, b tlsClaim) int {
		return cmp.Or(cmp.Compare(a.ref.Namespace, b.ref.Namespace), older(a.ingress, b.ingress))
	})
	n.first, n.settled = nil, true
	for _, c := range n.claims {
		n.first = olderOf(n.first, c.ingress)
	}
}

// of are the claims of a namespace, the oldest first.
func (n *tlsName) of(namespace string) []tlsClaim {
	n.settle()
	from, _ := slices.BinarySearchFunc(n.claims, namespace, func(c tlsClaim, namespace string) int { return cmp.Compare(c.ref.Namespace, namespace) })
	to := from
	for to < len(n.claims) && n.claims[to].ref.Namespace == namespace {
		to++
	}
	return n.claims[from:to]
}

// first is the oldest Ingress with an entry for a name; nil if there is none.
func (t *tlsNames) first(name string) *ingress {
	n := t.names[name]
	if n == nil {
		return nil
	}
	n.settle()
	return n.first
}

// resolveNames decides again the names that a change touches: wildcards first, since names below them follow their owners.
func (r *Resolver) resolveNames() {
	for host := range r.work.hosts {
		r.work.names[host] = true
		if n := r.tls.names[wildcardOf(host)]; n != nil && n.orders {
			r.work.names[wildcardOf(host)] = true
		}
	}
	var wildcards []string
	for name := range r.work.names {
		if strings.HasPrefix(name, "*") {
			wildcards = append(wildcards, name)
		}
	}
	for _, name := range wildcards {
		r.tls.reports[name] = true
		r.resolveName(name)
		r.markBelow(name)
		r.options.Yield()
	}
	for name := range r.work.names {
		if !strings.HasPrefix(name, "*") {
			r.resolveName(name)
			r.options.Yield()
		}
	}
	for name := range r.tls.reports {
		r.reportOthers(name)
	}
	clear(r.tls.reports)
}

// markBelow marks the names below a wildcard that follow what changed about it: all if its owner did, else those of the namespaces
// whose entries for it did.
func (r *Resolver) markBelow(wildcard string) {
	n := r.tls.names[wildcard]
	now := wildcardOwner{entries: n != nil}
	if owner := r.nameOwner(wildcard); owner != nil {
		now.owner, now.created, now.ending = owner.ref, owner.object.CreationTimestamp.Time, owner.ending
		now.own = n != nil && len(n.of(owner.ref.Namespace)) > 0
		now.at, _ = r.ownedBy(owner, wildcard)
	}
	all := r.tls.wildcards[wildcard] != now
	if r.tls.wildcards[wildcard] = now; now == (wildcardOwner{}) {
		delete(r.tls.wildcards, wildcard)
	}
	namespaces := r.work.spoken[wildcard]
	if !all && len(namespaces) == 0 {
		return
	}
	for name := range r.below[wildcard] {
		if owner := r.nameOwner(name); all || owner != nil && namespaces[owner.ref.Namespace] {
			r.work.names[name] = true
		}
	}
}

// resolveName decides the certificates of one name, from the entries of its owner's namespace. Where the wildcard above it belongs to
// another namespace, what its owner says of that wildcard stands for it, and what others say does not.
func (r *Resolver) resolveName(name string) {
	n, above := r.tls.names[name], r.tls.names[wildcardOf(name)]
	owner := r.nameOwner(name)
	apart := above != nil && owner != nil && owner.ref.Namespace != r.nameOwner(wildcardOf(name)).ref.Namespace
	if n == nil && !apart {
		return
	}
	n = r.tlsName(name)
	before, was := n.diagnostics, *n
	n.diagnostics, n.on, n.apart, n.orders = nil, false, apart, false
	var p picked
	if owner != nil {
		r.pick(&p, name, n, n.of(owner.ref.Namespace))
		if apart && len(p.certificates) == 0 {
			r.pick(&p, name, n, above.of(owner.ref.Namespace))
		}
		r.reportTLSStrangers(name, n, owner)
		r.reportUnordered(name, n, owner)
	}
	r.noteApart(name, n, owner)
	r.settleOrder(name, n, p.foreign)
	r.problems.replace(before, n.diagnostics)
	r.tls.publish(name, p.certificates, apart)
	if n.on != was.on || n.apart != was.apart {
		r.markHosts(name)
	}
	if len(n.claims) == 0 && !apart {
		r.problems.replace(n.otherDiagnostics, nil)
		delete(r.tls.names, name)
		r.forget(name)
	}
}

// picked are the certificates of a name, one for each kind of key, and who gives them.
type picked struct {
	claims       []tlsClaim
	certificates []*route.Certificate
	foreign      int // certificates that ACME did not give
}

// pick adds what claims bring, the oldest first.
func (r *Resolver) pick(p *picked, name string, n *tlsName, claims []tlsClaim) {
	for _, c := range claims {
		certificate := r.admit(name, n, c)
		if certificate == nil {
			continue
		}
		if i := slices.IndexFunc(p.certificates, func(o *route.Certificate) bool { return sameKeyKind(o, certificate) }); i >= 0 {
			n.conflict(name, c, p.claims[i])
			continue
		}
		p.claims, p.certificates = append(p.claims, c), append(p.certificates, certificate)
		if !r.isWritten(c) {
			p.foreign++
		}
	}
}

// admit gives the certificate that a claim brings for name, if it brings one, and notes whether the name is served over TLS.
func (r *Resolver) admit(name string, n *tlsName, c tlsClaim) *route.Certificate {
	if !c.entry.named {
		n.on = true
		return nil
	}
	s := r.tls.secrets[c.entry.secret]
	certificate, covers := s.certificate, s.covers(name)
	if covers || len(c.entry.hosts) > 0 {
		n.on = true
	}
	if covers {
		return certificate
	}
	if certificate != nil && len(c.entry.hosts) > 0 && !r.isWritten(c) {
		n.diagnostics = append(n.diagnostics, route.Diagnostic{
			Severity: route.Error, Reason: policy.CertificateMismatch, Origin: c.at(c.field),
			Message: fmt.Sprintf("the certificate of Secret %s is valid for %s, not for %s", c.entry.secret, displayNames(certificate), name),
			Effect:  fmt.Sprintf("the default certificate is served for %s", name),
		})
	}
	return nil
}

func sameKeyKind(a, b *route.Certificate) bool {
	return a.TLS.Leaf.PublicKeyAlgorithm == b.TLS.Leaf.PublicKeyAlgorithm
}

func (n *tlsName) conflict(name string, loser, winner tlsClaim) {
	if loser.entry.secret == winner.entry.secret {
		return
	}
	n.diagnostics = append(n.diagnostics, route.Diagnostic{
		Severity: route.Warning, Reason: policy.CertificateConflict, Origin: loser.at(loser.field),
		Message: fmt.Sprintf("the certificate of %s is given by %s %s already, which is older or first by name", name, winner.ref, winner.field),
		Effect:  fmt.Sprintf("Secret %s is served for %s, never Secret %s", winner.entry.secret, name, loser.entry.secret),
	})
}

// reportTLSStrangers says to both sides that entries of other namespaces do not count. One for a wildcard whose Ingress has hosts below
// it is for those, and said of each that is not its own.
func (r *Resolver) reportTLSStrangers(name string, n *tlsName, owner *ingress) {
	var first *ingress
	at, rule := r.ownedBy(owner, name)
	for _, c := range n.claims {
		if c.ref.Namespace == owner.ref.Namespace || c.under[name] && !r.wantsACME(c.ingress) {
			continue
		}
		first = olderOf(first, c.ingress)
		d := notOwner(c.at(c.field), name, owner, cmp.Or(rule, whyFirst(owner, c.ingress)))
		d.Effect = "neither its certificate nor the redirect to HTTPS is taken from here"
		n.diagnostics = append(n.diagnostics, d)
	}
	if first != nil {
		n.diagnostics = append(n.diagnostics, route.Diagnostic{
			Severity: route.Warning, Reason: policy.HostShared, Origin: at,
			Message: fmt.Sprintf("%s, of another namespace, has a TLS entry for %s too", first.ref, name),
			Effect:  "neither its certificate nor its redirect to HTTPS is taken",
		})
	}
}

// noteApart says to the owner of a host without TLS that the entries of another namespace for the wildcard above it do not count, and
// notes it for them.
func (r *Resolver) noteApart(name string, n *tlsName, owner *ingress) {
	above := r.tls.names[wildcardOf(name)]
	if above == nil {
		return
	}
	var changed *ingress
	if n.apart && !n.on {
		holder := r.nameOwner(wildcardOf(name))
		if len(above.of(holder.ref.Namespace)) > 0 {
			changed = owner
			at, _ := r.ownedBy(owner, name)
			n.diagnostics = append(n.diagnostics, route.Diagnostic{
				Severity: route.Warning, Reason: policy.HostShared, Origin: at,
				Message: fmt.Sprintf("%s, of another namespace, has a TLS entry for %s", holder.ref, wildcardOf(name)),
				Effect:  fmt.Sprintf("neither its certificate nor its redirect to HTTPS is taken for %s", name),
			})
		}
	}
	if above.others[name] == changed {
		return
	}
	if r.tls.reports[wildcardOf(name)] = true; changed == nil {
		delete(above.others, name)
		return
	}
	if above.others == nil {
		above.others = map[string]*ingress{}
	}
	above.others[name] = changed
}

// reportOthers says to those whose entries stand for a wildcard which hosts below it they do not stand for.
func (r *Resolver) reportOthers(wildcard string) {
	n := r.tls.names[wildcard]
	if n == nil {
		return
	}
	before := n.otherDiagnostics
	n.otherDiagnostics = nil
	if len(n.others) > 0 {
		holder := n.of(r.nameOwner(wildcard).ref.Namespace)[0]
		host := slices.Min(slices.Collect(maps.Keys(n.others)))
		_, rule := r.ownedBy(n.others[host], host)
		d := notOwner(holder.at(holder.field), host, n.others[host], cmp.Or(rule, whyFirst(n.others[host], holder.ingress)))
		d.Severity, d.Effect = route.Warning, fmt.Sprintf("neither the certificate nor the redirect to HTTPS of %s is for it", wildcard)
		if len(n.others) > 1 {
			d.Effect += ", nor for other hosts of other namespaces"
		}
		n.otherDiagnostics = []route.Diagnostic{d}
	}
	r.problems.replace(before, n.otherDiagnostics)
}

// markHosts marks the hosts that a name's TLS decides about: its own, and for a wildcard all below it.
func (r *Resolver) markHosts(name string) {
	if r.hosts[name] != nil {
		r.work.hosts[name] = true
	}
	if !strings.HasPrefix(name, "*") {
		return
	}
	for host := range r.below[name] {
		if n := r.tls.names[host]; r.hosts[host] != nil && (n == nil || !n.apart) {
			r.work.hosts[host] = true
		}
	}
}
