package resolve

import (
	globs "path"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// tlsACME is the annotation that asks any ACME client for certificates.
const tlsACME = "kubernetes.io/tls-acme"

// wantsACME reports whether an Ingress asks for certificates: usher.dev/acme decides, and tls-acme where that is not written.
func (r *Resolver) wantsACME(in *ingress) bool {
	return r.options.ACME && r.asksACME(in)
}

func (r *Resolver) asksACME(in *ingress) bool {
	for _, prefix := range r.options.AnnotationPrefixes {
		if _, written := in.object.Annotations[prefix+"acme"]; written {
			return in.policy.ACME.On
		}
	}
	return in.object.Annotations[tlsACME] == "true"
}

// order gives the entry by which a certificate for name is to be had by ACME: the host has rules, and the first Ingress of its owner's
// namespace that asks names no Secret that somebody else made. have counts the certificates that others made for the name; they go before.
func (r *Resolver) order(name string, n *tlsName, have int) (acmeOrder, bool) {
	owner := r.owner(name)
	if have > 0 || owner == nil {
		return acmeOrder{}, false
	}
	for _, c := range n.of(owner.ref.Namespace) {
		if len(c.entry.hosts) == 0 || !r.wantsACME(c.ingress) {
			continue
		}
		o := route.ACMEName{Name: name, Origin: policy.Origin{Object: c.ref, Field: c.field}, Shared: len(c.entry.hosts) > 1}
		if c.entry.named {
			s := r.tls.secrets[c.entry.secret]
			if s.object != nil && !r.isWritten(c) {
				continue
			}
			o.Secret = c.entry.secret.Name
			if s.certificate != nil && s.object.Annotations[object.ACMEHost] == name {
				o.Written = s.certificate
			}
		}
		if r.refuseName(name, n, c) {
			return acmeOrder{}, false
		}
		n.orders = true
		return acmeOrder{o, c.object.CreationTimestamp.Time, c.ending}, !r.refuseWildcard(name, n, c)
	}
	return acmeOrder{}, false
}

// refuseName reports whether a name is none of those that are ordered here.
func (r *Resolver) refuseName(name string, n *tlsName, c tlsClaim) bool {
	allows := func(glob string) bool {
		ok, err := globs.Match(glob, name)
		return ok && err == nil
	}
	if len(r.options.ACMENames) == 0 || slices.ContainsFunc(r.options.ACMENames, allows) {
		return false
	}
	n.diagnostics = append(n.diagnostics, notOrdered(name, c.at(c.field), "--acme-names allows "+strings.Join(r.options.ACMENames, ", ")+" only"))
	return true
}

func notOrdered(name string, at policy.Origin, why string) route.Diagnostic {
	return route.Diagnostic{
		Severity: route.Warning, Reason: policy.CertificatePending, Origin: at,
		Message: "no certificate of " + name + " is ordered by ACME: " + why, Effect: "the default certificate is served for it",
	}
}

// refuseWildcard reports whether a certificate of a wildcard would be good for a host that another namespace has had for longer. Hosts
// that came later do not count, so that nobody can end another's certificate.
func (r *Resolver) refuseWildcard(name string, n *tlsName, c tlsClaim) bool {
	if !strings.HasPrefix(name, "*") {
		return false
	}
	host, owner := r.olderBelow(name, r.owner(name))
	if owner == nil {
		return false
	}
	d := notOwner(c.at(c.field), host, owner, whyFirst(owner, r.owner(name)))
	d.Effect = "no certificate of " + name + " is ordered by ACME, since it would be good for that host"
	n.diagnostics = append(n.diagnostics, d)
	return true
}

// reportUnordered tells those who ask for a certificate of a name that nobody has rules for that they will not get one.
func (r *Resolver) reportUnordered(name string, n *tlsName, owner *ingress) {
	if r.owner(name) != nil {
		return
	}
	for _, c := range n.of(owner.ref.Namespace) {
		if !r.wantsACME(c.ingress) || c.entry.named && r.tls.secrets[c.entry.secret].object != nil {
			continue
		}
		n.diagnostics = append(n.diagnostics, notOrdered(name, c.at(c.field), "no rule has this host"))
	}
}

// isWritten reports whether the Secret of a claim is one that Usher wrote for an Ingress that asks for certificates. It is served, and
// goes on being renewed. Nobody gains anything by claiming so: the Secret and the Ingress are in one namespace.
func (r *Resolver) isWritten(c tlsClaim) bool {
	if !c.entry.named || !r.wantsACME(c.ingress) {
		return false
	}
	s := r.tls.secrets[c.entry.secret]
	return s.object != nil && s.object.Annotations[object.ACMEHost] != ""
}
