package resolve

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// In nginx a server-snippet stands for the whole host. One that may keep requests out closes all paths of its namespace on the host, also
// those of other Ingresses; those of other namespaces stay open, so that nobody can close them.

// closeSiblings notes for each namespace of the host being built the first of its Ingresses that closes the others, and tells those.
func (m *merging) closeSiblings(claims []claim) {
	for _, c := range claims {
		if !c.policy.DenyHost || m.closing[c.ref.Namespace].ingress != nil {
			continue
		}
		if m.closing == nil {
			m.closing = map[string]claim{}
		}
		m.closing[c.ref.Namespace] = c
	}
	for _, c := range claims {
		if by, closed := m.closing[c.ref.Namespace]; closed && !c.policy.DenyHost {
			m.diagnostics = append(m.diagnostics, route.Diagnostic{
				Severity: route.Error, Reason: policy.RefusedAnnotation, Origin: c.at(c.rules.field),
				Message: fmt.Sprintf("the server-snippet of %s may keep requests out of the whole host %s, and is never executed", by.ref, displayHost(m.host.Name)),
				Effect:  fmt.Sprintf("every path of this Ingress on %s answers 503", displayHost(m.host.Name)),
			})
		}
	}
}

// closedBySibling closes a route of c that another Ingress of its namespace closes.
func (m *merging) closedBySibling(c claim, won *route.Route) {
	if by, closed := m.closing[c.ref.Namespace]; closed && by.ingress != c.ingress && won.Policy.Deny == "" && won.Broken == "" {
		won.Broken, won.Backend = policy.RefusedAnnotation, -1
	}
}
