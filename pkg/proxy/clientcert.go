package proxy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// clientCert judges the client's certificate where the route, or the host of what no route claims, wants one. Every request is judged,
// by the table it is served under: so what a host wants holds on a connection that was made for another one, on a resumed session, and
// from the moment a Secret changes. A request for another host than the handshake's gets 421, as from nginx: the handshake asked for
// what that one wants, and the client is to make one that asks for this.
func (x *exchange) clientCert() bool {
	auth := x.table.ClientAuth(x.match)
	switch {
	case auth == nil:
		return false
	case auth.Broken != "":
		return x.fail(auth.Broken)
	case auth.Policy.Verify == policy.VerifyOff || x.r.TLS == nil:
		x.cert = noCert
	case x.misdirected():
		return x.fail(policy.Misdirected)
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

// misdirected tells whether the handshake was for another host than the request. One without a name was for any.
func (x *exchange) misdirected() bool {
	server := normalHost(x.r.TLS.ServerName)
	return server != "" && server != x.hostAsked() && x.table.Hosts.Find(server) != x.match.Host
}

// shownCert is a client's certificate that was judged, and what endpoints are told of it.
type shownCert struct {
	verdict         policy.Verdict
	subject, issuer string
	commonNames     []string
	leaf            *x509.Certificate // nil without one
	at              time.Time         // when it was judged

	once sync.Once
	text string
}

// noCert is that of clients who have none. Never written.
var noCert = &shownCert{}

func (c *shownCert) describe() string {
	if c.leaf == nil {
		return c.verdict.String()
	}
	return c.verdict.String() + ", " + c.subject
}

// escaped is the certificate in PEM, percent-encoded as nginx's $ssl_client_escaped_cert.
func (c *shownCert) escaped() string {
	c.once.Do(func() {
		c.text = escapeURI(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.leaf.Raw}))
	})
	return c.text
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

// judgements remembers what certificates came to, since judging one takes longer than all the rest of a request. A judgement is kept
// for a minute: not longer, since certificates and lists expire.
type judgements struct {
	mu      sync.Mutex
	entries map[judgedKey]*shownCert
}

const (
	judgedFor = time.Minute
	// judgedMost bounds what is remembered; a client may have any number of certificates made by itself.
	judgedMost = 4096
)

// judgedKey is what a judgement depends on, but for the time. crypto/tls gives equal certificates the same pointer while one of them is
// in use, as those in a key are.
type judgedKey struct {
	chain [4]*x509.Certificate
	cas   *route.ClientCAs
	depth int
}

// of judges what a client showed, or remembers.
func (j *judgements) of(chain []*x509.Certificate, auth *route.ClientAuth) *shownCert {
	if len(chain) == 0 {
		return noCert
	}
	now, key := time.Now(), judgedKey{cas: auth.CAs, depth: auth.Policy.Depth}
	if copy(key.chain[:], chain) < len(chain) {
		return judge(chain, auth, now) // nobody has so many; it is not worth remembering
	}
	j.mu.Lock()
	known := j.entries[key]
	j.mu.Unlock()
	if known != nil && now.Sub(known.at) < judgedFor {
		return known
	}
	fresh := judge(chain, auth, now)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.entries == nil || len(j.entries) >= judgedMost {
		j.entries = map[judgedKey]*shownCert{}
	}
	j.entries[key] = fresh
	return fresh
}

func judge(chain []*x509.Certificate, auth *route.ClientAuth, now time.Time) *shownCert {
	leaf := chain[0]
	return &shownCert{
		verdict: auth.CAs.Verify(chain, auth.Policy.Depth, now),
		subject: policy.DN(leaf.RawSubject), issuer: policy.DN(leaf.RawIssuer), commonNames: policy.CommonNames(leaf),
		leaf: leaf, at: now,
	}
}

// vouch tells the endpoint what became of the client's certificate.
func (x *exchange) vouch() {
	if x.cert == nil || x.r.TLS == nil {
		return
	}
	x.say("Ssl-Client-Verify", x.cert.verdict.String())
	if x.cert.leaf == nil {
		return
	}
	if x.auth.Forward {
		x.say("Ssl-Client-Cert", x.cert.escaped())
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
