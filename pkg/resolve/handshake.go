package resolve

import (
	"fmt"
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// What a TLS handshake may agree on is a matter of the host, since there is no path yet. Of the Ingresses of the owner's namespace the
// oldest with an annotation about it decides for the host; others are told. Without any it is as the oldest Ingress's class has it.

// handshake decides for the host being built; claims are those of its owner's namespace, in order of age.
func (m *merging) handshake(claims []claim) {
	if len(claims) == 0 {
		return
	}
	winner := slices.IndexFunc(claims, writesTLS)
	for _, c := range claims[winner+1:] {
		if winner >= 0 && writesTLS(c) && c.policy.TLS != claims[winner].policy.TLS {
			m.handshakeConflict(c, claims[winner])
		}
	}
	if chosen := &claims[max(0, winner)].policy.TLS; *chosen != m.resolver.classes.global.TLS {
		m.host.Handshake = chosen
	}
}

// writesTLS reports whether an Ingress has annotations that change what its class says.
func writesTLS(c claim) bool { return c.verdict.base != nil && c.policy.TLS != c.verdict.base.TLS }

func (m *merging) handshakeConflict(loser, winner claim) {
	m.diagnostics = append(m.diagnostics, route.Diagnostic{
		Severity: route.Warning, Reason: policy.HostSettingConflict, Origin: loser.at(loser.tlsField()),
		Message: fmt.Sprintf("what TLS agrees on for %s is said by %s already%s", displayHost(m.host.Name), winner.ref, m.why(loser, &route.Route{Ingress: winner.ref})),
		Effect:  fmt.Sprintf("handshakes for %s follow %s", displayHost(m.host.Name), winner.ref),
	})
}

// tlsField is the first annotation about TLS.
func (in *ingress) tlsField() string {
	for _, s := range in.policy.Settings() {
		if s.Origin.Object == in.ref && (s.Key.Name == "ssl-protocols" || s.Key.Name == "ssl-ciphers" || s.Key.Name == "ssl-ecdh-curve") {
			return s.Origin.Field
		}
	}
	return "metadata.annotations"
}
