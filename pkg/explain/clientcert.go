package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// clientCert describes what is wanted of the client's certificate.
func (x *run) clientCert() {
	if auth := x.table.ClientAuth(x.Match); auth != nil {
		x.out.ClientCert = describeClientCert(auth)
	}
	if x.Certificate != nil && x.Certificate.Assumed {
		x.note(policy.PhaseAccess, "a client certificate that passes is taken for granted")
	}
	if x.asked.counts {
		x.note(policy.PhaseAccess, "the client is taken to be within its limits")
	}
}

func describeClientCert(auth *route.ClientAuth) *ClientCert {
	out := &ClientCert{Verify: string(auth.Policy.Verify), Depth: auth.Policy.Depth, Origin: auth.Origin.String()}
	if auth.Policy.CommonName != nil {
		out.CommonName = auth.Policy.CommonName.String()
	}
	if auth.CAs != nil {
		out.Secret = auth.CAs.Secret.String()
		out.CAs, out.Lists = auth.CAs.Count()
	}
	return out
}

func (w *page) clientCert(c *ClientCert) {
	if c == nil {
		return
	}
	what := fmt.Sprintf("%s, chain depth %d, %s", c.Verify, c.Depth, c.Origin)
	if c.Verify == string(policy.VerifyOff) {
		what = "off, " + c.Origin
	}
	w.line("client cert", what)
	if c.Secret != "" {
		w.line("  by", fmt.Sprintf("%s: %s, %s", c.Secret, count(c.CAs, "CA"), count(c.Lists, "revocation list")))
	}
	if c.CommonName != "" {
		w.line("  name", c.CommonName)
	}
}
