package resolve

import (
	"maps"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// tlsACME is the annotation that asks any ACME client for certificates.
const tlsACME = "kubernetes.io/tls-acme"

// wantsACME tells whether an Ingress asks for certificates: usher.dev/acme decides, and tls-acme where that is not written.
func (r *Resolver) wantsACME(in *ingress) bool {
	if !r.options.ACME {
		return false
	}
	for _, prefix := range r.options.AnnotationPrefixes {
		if _, written := in.object.Annotations[prefix+"acme"]; written {
			return in.policy.ACME.On
		}
	}
	return in.object.Annotations[tlsACME] == "true"
}

// order gives the entry by which a certificate for name is to be had by ACME: the host has rules, and the first Ingress that may speak
// of it asks and names no Secret that exists. A certificate that somebody put there goes before.
func (r *Resolver) order(name string, n *tlsName, have int) (route.ACMEName, bool) {
	if host := r.hosts[name]; have > 0 || host == nil || len(host.claims) == 0 {
		return route.ACMEName{}, false
	}
	for _, c := range n.claims {
		if r.foreignOwner(name, c.ingress) != nil || len(c.entry.hosts) == 0 || !r.wantsACME(c.ingress) {
			continue
		}
		if c.entry.named && r.tls.secrets[c.entry.secret].object != nil {
			continue
		}
		return route.ACMEName{Name: name, Origin: policy.Origin{Object: c.ref, Field: c.field}}, true
	}
	return route.ACMEName{}, false
}

// settleOrder notes what is to be ordered for a name.
func (r *Resolver) settleOrder(name string, n *tlsName, have int) {
	now, ok := r.order(name, n, have)
	before, had := r.tls.orders[name]
	if ok == had && now == before {
		return
	}
	r.tls.orders = maps.Clone(r.tls.orders)
	if r.tls.orders == nil {
		r.tls.orders = map[string]route.ACMEName{}
	}
	if ok {
		r.tls.orders[name] = now
	} else {
		delete(r.tls.orders, name)
	}
	r.tls.ordered = slices.SortedFunc(maps.Values(r.tls.orders), func(a, b route.ACMEName) int { return strings.Compare(a.Name, b.Name) })
}
