package decide

import (
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/policy"
)

// Certificate is what a client's certificate comes to, and what endpoints are told of it. It holds nothing of the certificate itself.
type Certificate struct {
	Assumed         bool // there is none, and it is taken to be one that is let in: for those who ask what would be
	Verdict         policy.Verdict
	Subject, Issuer string
	CommonNames     []string
	Escaped         string // in PEM, percent-encoded as nginx's $ssl_client_escaped_cert; empty where it is not told
}

// noCertificate is that of clients who have none. Never written.
var noCertificate = &Certificate{}

// clientCert judges the client's certificate where the route, or the host of what no route claims, wants one. Every request is judged,
// by the table it is served under: so what a host wants holds on a connection that was made for another one, on a resumed session, and
// from the moment a Secret changes. A request for another host than the handshake's, with other settings, gets 421 (route.Misdirected).
func (d *Decision) clientCert() bool {
	if d.Request.TLS && d.Table.Misdirected(NormalHost(d.Request.ServerName), d.Ask.Named, d.Match) {
		d.Phase = policy.PhaseAccess
		return d.fail(policy.Misdirected)
	}
	auth := d.Table.ClientAuth(d.Match)
	switch {
	case auth == nil:
		return false
	case auth.Broken != "":
		d.Phase = policy.PhaseAccess
		return d.fail(auth.Broken)
	case auth.Policy.Verify != policy.VerifyOff && d.Request.TLS:
		d.Certificate = d.env.Judge(auth)
	}
	if d.Certificate == nil {
		d.Certificate = noCertificate
	}
	if d.Auth = auth.Policy; d.Certificate.Assumed {
		return false
	}
	a := auth.Policy.Admit(d.Certificate.Verdict, d.Certificate.CommonNames)
	if a.Status == 0 {
		return false
	}
	d.Answer.Detail = "client certificate: " + d.Certificate.describe()
	return d.deny(a)
}

func (c *Certificate) describe() string {
	if !c.Verdict.Shown {
		return c.Verdict.String()
	}
	return c.Verdict.String() + ", " + c.Subject
}

// vouch tells the endpoint what became of the client's certificate.
func (d *Decision) vouch() {
	c := d.Certificate
	if c == nil || !d.Request.TLS {
		return
	}
	add := &d.Edits.Add
	*add = append(*add, field.Field{Name: "Ssl-Client-Verify", Value: c.Verdict.String()})
	if !c.Verdict.Shown {
		return
	}
	if d.Auth.Forward {
		*add = append(*add, field.Field{Name: "Ssl-Client-Cert", Value: c.Escaped})
	}
	if c.Subject != "" {
		*add = append(*add, field.Field{Name: "Ssl-Client-Subject-Dn", Value: c.Subject})
	}
	if c.Issuer != "" {
		*add = append(*add, field.Field{Name: "Ssl-Client-Issuer-Dn", Value: c.Issuer})
	}
}

// looksLikeOurs recognises fields that applications which write "_" for "-" would take for Usher's word about the client and its
// certificate.
func looksLikeOurs(name string) bool {
	if !strings.Contains(name, "_") {
		return false
	}
	like := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return strings.HasPrefix(like, "ssl-client-") || strings.HasPrefix(like, "x-forwarded-") || like == "x-real-ip" || like == "x-scheme"
}
