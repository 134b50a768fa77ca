package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// clientCert explains what is wanted of the client's certificate, and tells whether the request goes on. Nobody can be asked for one
// here, so one that passes is taken for granted.
func (x *run) clientCert() bool {
	auth := x.table.ClientAuth(x.match)
	if auth != nil {
		x.out.ClientCert = describeClientCert(auth)
	}
	switch {
	case x.misdirected():
		return false
	case auth == nil:
		return true
	}
	switch answer := auth.Policy.Admit(policy.Verdict{}, nil); {
	case auth.Broken != "":
		x.answer(Answer{Status: statusOf(auth.Broken), Reason: auth.Broken, Cause: x.authCause(auth)})
	case !x.request.tls && answer.Status != 0:
		x.answer(Answer{Status: answer.Status, Reason: answer.Reason, Location: answer.Location, Cause: "a request by plain HTTP shows no certificate"})
	default:
		x.Note(policy.PhaseAccess, "a client certificate that passes is taken for granted")
		return true
	}
	x.Note(policy.PhaseAccess, fmt.Sprintf("%d: %s", x.out.Answer.Status, x.out.Answer.Reason))
	return false
}

// misdirected explains a request on a connection that was made for another host, and reports whether there is one.
func (x *run) misdirected() bool {
	r := x.request
	if !r.tls || !x.table.Misdirected(r.server, r.host, x.match) {
		return false
	}
	x.answer(Answer{Status: statusOf(policy.Misdirected), Reason: policy.Misdirected,
		Cause: fmt.Sprintf("the TLS handshake is for %s, and the request for %s, whose handshakes have other settings", r.server, r.host)})
	x.Note(policy.PhaseAccess, fmt.Sprintf("%d: %s", x.out.Answer.Status, x.out.Answer.Reason))
	return true
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

// authCause is the Diagnostic about what an Ingress, which may be another one than the route's, wants of clients.
func (x *run) authCause(auth *route.ClientAuth) string {
	for _, d := range x.table.Diagnostics {
		if d.Reason == auth.Broken && d.Origin.Object == auth.Origin.Object && d.Severity == route.Error {
			return d.Origin.String() + ": " + d.Message
		}
	}
	return ""
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
