package resolve

import (
	"fmt"
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// A host whose path "/" belongs to an Ingress of its owner's namespace with ssl-passthrough is passed through: a TLS connection that asks for it goes as it is
// to that path's backend. There is no path in a handshake, so all other paths of the host are reached by plain HTTP only.
//
// For example, if demo/old declares shop.example.com/ and the newer demo/new, with ssl-passthrough, /pay, then TLS for shop.example.com
// ends here, and demo/new's paths are closed, since its application counts on clients that it has seen itself.

// passthrough decides for the host being built, whose routes are known.
func (m *merging) passthrough(claims []claim) {
	name := m.host.Name
	i := slices.IndexFunc(m.routes, func(r *route.Route) bool { return r.Type == route.Prefix && r.Path == "/" })
	own := i >= 0 && m.owner != nil && m.routes[i].Ingress.Namespace == m.owner.ref.Namespace
	if own && m.routes[i].Policy.Stream.Passthrough && name != "" && m.resolver.options.Passthrough {
		root := m.routes[i]
		m.host.Passthrough = &route.Stream{Backend: root.Backend, Broken: root.Broken, Policy: root.Policy, Origin: root.Origin}
		if root.Policy.Stream.ProxyProtocol {
			m.host.Passthrough.ProxyProtocol = 2
		}
		if root.Policy.Deny != "" {
			m.host.Passthrough.Broken = root.Policy.Deny
		}
		m.passUnjudged(root)
		m.host.TLS = true // plain HTTP is redirected to it
	}
	passing := map[policy.Ref]bool{}
	for _, c := range claims {
		if c.policy.Stream.Passthrough {
			passing[c.ref] = true
		}
	}
	if len(passing) > 0 {
		m.reportPassthrough(passing)
	}
}

// reportPassthrough says what Ingresses with ssl-passthrough do not get for this host, and closes the paths that they must not lose.
func (m *merging) reportPassthrough(passing map[policy.Ref]bool) {
	for _, r := range m.routes {
		if !passing[r.Ingress] || m.host.Passthrough != nil && r.Type == route.Prefix && r.Path == "/" {
			continue
		}
		d := route.Diagnostic{Severity: route.Error, Reason: policy.PassthroughPath, Origin: r.Origin, Effect: "this path answers 503"}
		switch {
		case m.host.Passthrough != nil:
			d.Severity, d.Effect = route.Warning, "it is reached by plain HTTP only"
			d.Message = fmt.Sprintf("TLS for %s is passed through to path /, by SNI; no other path can be told apart", m.host.Name)
		case !m.resolver.options.Passthrough:
			d.Message = "ssl-passthrough \"true\" needs the flag --enable-ssl-passthrough"
		case m.host.Name == "":
			d.Message = "ssl-passthrough \"true\" needs a host: connections are told apart by the server name they ask for"
		default:
			d.Message = fmt.Sprintf("ssl-passthrough \"true\" goes to path / of the host, and that of %s is not this Ingress's", m.host.Name)
		}
		if m.host.Passthrough == nil {
			r.Broken, r.Backend = policy.PassthroughPath, -1
		}
		m.diagnostics = append(m.diagnostics, d)
	}
}

// closeFallback closes the default backend of an Ingress with ssl-passthrough: it is for requests, which are not to be seen here.
func (in *ingress) closeFallback() {
	if in.fallback == nil || in.fallback.broken != "" || !in.policy.Stream.Passthrough {
		return
	}
	in.fallback.broken = policy.PassthroughPath
	in.report(route.Diagnostic{
		Severity: route.Error, Reason: policy.PassthroughPath, Origin: in.at(in.fallback.field),
		Message: "ssl-passthrough \"true\" goes to path / of a host, never to a default backend", Effect: "what only it would answer is answered 503",
	})
}

// countPassthrough keeps count of the hosts that are passed through: where there are none, no handshake is looked at.
func (r *Resolver) countPassthrough() {
	for name := range r.work.hosts {
		delete(r.passing, name)
		if v := r.hosts[name]; v != nil && v.host != nil && v.host.Passthrough != nil {
			r.passing[name] = true
		}
	}
}
