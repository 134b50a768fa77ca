package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
)

// describeTLS says what is wanted of TLS to endpoints; "" where they are spoken to without.
func describeTLS(up decide.Upstream) string {
	to := up.TLS
	switch {
	case up.Protocol != policy.HTTPS && up.Protocol != policy.GRPCS:
		return ""
	case to == nil:
		return "nothing is verified and no name is sent"
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
	return text + ", " + to.Origin.String()
}
