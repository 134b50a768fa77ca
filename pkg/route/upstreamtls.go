package route

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/usher-ingress/usher/pkg/policy"
)

// UpstreamTLS is how endpoints of a route are spoken to over TLS, with what its Secret holds.
type UpstreamTLS struct {
	Policy      policy.UpstreamTLS
	Roots       *x509.CertPool   // nil where the Secret has no ca.crt
	Certificate *tls.Certificate // shown to endpoints; nil where the Secret has none
	Broken      policy.Reason    // why endpoints cannot be spoken to; the routes are Broken too
	Origin      policy.Origin    // the annotation that asks for it
}
