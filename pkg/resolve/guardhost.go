package resolve

import (
	"fmt"
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// In ingress-nginx the oldest Ingress with auth-tls-secret decides for the whole host, and so does the one with proxy-ssl-secret. Here
// an Ingress that has its own is served by its own, so that nobody's clients are judged by somebody else's CAs; for one without, the
// oldest's stands, as there:
//
//	auth-tls-secret    in the same namespace always; in another one only if that Ingress is newer, so that nobody can shut the paths
//	                   of others that were there before
//	proxy-ssl-secret   in the same namespace: a key is for its owner's applications

// guards are the oldest claims of the host being built that have any.
type guards struct{ clients, upstream *claim }

func (m *merging) findGuards(claims []claim) {
	if i := slices.IndexFunc(claims, func(c claim) bool { return c.clientAuth != nil }); i >= 0 {
		m.guards.clients = &claims[i]
		m.host.ClientAuth = claims[i].clientAuth
	}
	if i := slices.IndexFunc(claims, func(c claim) bool { return c.upstream != nil }); i >= 0 {
		m.guards.upstream = &claims[i]
	}
}

// guard gives a route of c what stands for it.
func (m *merging) guard(c claim, won *route.Route) {
	if first := m.guards.clients; won.ClientAuth == nil && first != nil {
		if first.ref.Namespace == c.ref.Namespace || older(first.ingress, c.ingress) < 0 {
			won.ClientAuth = first.clientAuth
		}
	}
	if first := m.guards.upstream; won.UpstreamTLS == nil && first != nil && first.ref.Namespace == c.ref.Namespace {
		won.UpstreamTLS = first.upstream
	}
}

// ask collects for whose CAs handshakes ask.
func (m *merging) ask() {
	var sets []*route.ClientCAs
	add := func(a *route.ClientAuth) {
		if a.Asks() && !slices.Contains(sets, a.CAs) {
			sets = append(sets, a.CAs)
		}
	}
	add(m.host.ClientAuth)
	for _, r := range m.routes {
		add(r.ClientAuth)
	}
	if m.host.Default != nil {
		add(m.host.Default.ClientAuth)
	}
	m.host.Asks = route.NewCertificateRequest(sets)
}

// passUnjudged closes a passed-through host whose clients somebody wants judged: that is for the application then.
func (m *merging) passUnjudged(root *route.Route) {
	if root.ClientAuth == nil {
		return
	}
	m.host.Passthrough.Broken, m.host.Passthrough.Backend = policy.PassthroughPath, -1
	m.diagnostics = append(m.diagnostics, route.Diagnostic{
		Severity: route.Error, Reason: policy.PassthroughPath, Origin: root.ClientAuth.Origin,
		Message: fmt.Sprintf("auth-tls-secret stands for %s, whose TLS is passed through and whose clients are judged by the application; want one of the two", m.host.Name),
		Effect:  "TLS connections for the host are closed",
	})
}
