package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// spokenSecurely tells whether the endpoints are spoken to over TLS.
func (x *run) spokenSecurely() bool {
	protocol := x.protocol()
	return protocol == string(policy.HTTPS) || protocol == string(policy.GRPCS)
}

// describeUpstreamTLS says what is wanted of TLS to the endpoints.
func (x *run) describeUpstreamTLS(to *route.UpstreamTLS) {
	if x.backend == nil || !x.spokenSecurely() {
		return
	}
	if to == nil {
		x.out.Backend.TLS = "nothing is verified and no name is sent"
		return
	}
	name := to.Policy.Name
	if name == "" {
		name = "the Service's own name"
	}
	text := "nothing is verified"
	if to.Policy.Verify {
		text = fmt.Sprintf("verified as %s, chain depth %d", name, to.Policy.Depth)
	}
	if to.Policy.SNI {
		text += ", " + name + " is sent as SNI"
	}
	if to.Certificate != nil {
		text += ", a certificate is shown"
	}
	x.out.Backend.TLS = text + ", " + to.Origin.String()
}

// upstreamCause is the Diagnostic about the Secret.
func (x *run) upstreamCause(to *route.UpstreamTLS) string {
	for _, d := range x.table.Diagnostics {
		if d.Reason == to.Broken && d.Origin.Object == to.Origin.Object && d.Severity == route.Error {
			return d.Message
		}
	}
	return ""
}
