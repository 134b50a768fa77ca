package resolve

import (
	"fmt"
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// In ingress-nginx the oldest Ingress with auth-tls-secret decides for the whole host, and so does the one with proxy-ssl-secret. Here an
// Ingress that has its own is served by its own; for one without, that of the oldest Ingress of the owner's namespace stands:
//
//	auth-tls-secret    for all paths of the host. That of another namespace than the owner's cannot be asked for in the handshake, which
//	                   is the owner's, so it closes its paths
//	proxy-ssl-secret   for paths of the same namespace: a key is for its owner's applications

// findGuards takes those of the host being built from the claims of its owner's namespace.
func (m *merging) findGuards(claims []claim) {
	if i := slices.IndexFunc(claims, func(c claim) bool { return c.clientAuth != nil }); i >= 0 {
		m.host.ClientAuth = claims[i].clientAuth
	}
	if i := slices.IndexFunc(claims, func(c claim) bool { return c.upstream != nil }); i >= 0 {
		m.upstream = claims[i].upstream
	}
}

// guard gives a route of c what stands for it.
func (m *merging) guard(c claim, won *route.Route) {
	switch {
	case m.isStranger(c) && won.ClientAuth.Restricts():
		closed := *won.ClientAuth
		closed.CAs, closed.Broken = nil, policy.HostNotOwned
		won.ClientAuth = &closed
	case m.isStranger(c) || won.ClientAuth == nil:
		won.ClientAuth = m.host.ClientAuth
	}
	if won.UpstreamTLS == nil && !m.isStranger(c) {
		won.UpstreamTLS = m.upstream
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
