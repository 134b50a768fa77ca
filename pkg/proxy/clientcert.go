package proxy

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
)

// clientCert judges the client's certificate where the route, or the host of what no route claims, wants one. Every request is judged,
// by the table it is served under: so what a host wants holds on a connection that was made for another one, on a resumed session, and
// from the moment a Secret changes. A request for another host than the handshake's, with other settings, gets 421 (route.Misdirected).
func (x *exchange) clientCert() bool {
	if x.r.TLS != nil && x.table.Misdirected(normalHost(x.r.TLS.ServerName), x.hostAsked(), x.match) {
		return x.fail(policy.Misdirected)
	}
	auth := x.table.ClientAuth(x.match)
	switch {
	case auth == nil:
		return false
	case auth.Broken != "":
		return x.fail(auth.Broken)
	case auth.Policy.Verify == policy.VerifyOff || x.r.TLS == nil:
		x.cert = noCert
	default:
		x.cert = x.proxy.judged.of(x.r.TLS.PeerCertificates, auth)
	}
	x.auth = auth.Policy
	answer := auth.Policy.Admit(x.cert.verdict, x.cert.commonNames)
	if answer.Status == 0 {
		return false
	}
	x.record.Error = "client certificate: " + x.cert.describe()
	if answer.Location != "" {
		return x.redirectTo(answer)
	}
	return x.failWith(answer.Status, answer.Reason)
}

// shownCert is a client's certificate that was judged, and what endpoints are told of it. It holds nothing of the certificate itself.
type shownCert struct {
	verdict         policy.Verdict
	shown           bool // whether there was one
	subject, issuer string
	commonNames     []string
	escaped         string    // in PEM, percent-encoded as nginx's $ssl_client_escaped_cert; empty where it is not told
	at              time.Time // when it was judged
}

// noCert is that of clients who have none. Never written.
var noCert = &shownCert{}

func (c *shownCert) describe() string {
	if !c.shown {
		return c.verdict.String()
	}
	return c.verdict.String() + ", " + c.subject
}

// size is about what it takes to remember, in bytes.
func (c *shownCert) size() int {
	size := judgedLeast + len(c.subject) + len(c.issuer) + len(c.escaped)
	for _, name := range c.commonNames {
		size += len(name) + 16
	}
	return size
}

// escapeURI escapes all but the unreserved characters (RFC 3986 section 2.3).
func escapeURI(text []byte) string {
	const hex = "0123456789ABCDEF"
	var b bytes.Buffer
	for _, c := range text {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// vouch tells the endpoint what became of the client's certificate.
func (x *exchange) vouch() {
	if x.cert == nil || x.r.TLS == nil {
		return
	}
	x.say("Ssl-Client-Verify", x.cert.verdict.String())
	if !x.cert.shown {
		return
	}
	if x.auth.Forward {
		x.say("Ssl-Client-Cert", x.cert.escaped)
	}
	if x.cert.subject != "" {
		x.say("Ssl-Client-Subject-Dn", x.cert.subject)
	}
	if x.cert.issuer != "" {
		x.say("Ssl-Client-Issuer-Dn", x.cert.issuer)
	}
}

// dropLookalikes drops fields that applications which write "_" for "-" would take for Usher's word about the client and its certificate.
func dropLookalikes(h http.Header) {
	for name := range h {
		if !strings.Contains(name, "_") {
			continue
		}
		switch like := strings.ToLower(strings.ReplaceAll(name, "_", "-")); {
		case strings.HasPrefix(like, "ssl-client-"), strings.HasPrefix(like, "x-forwarded-"), like == "x-real-ip", like == "x-scheme":
			delete(h, name)
		}
	}
}
