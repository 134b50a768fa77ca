package policy

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"
)

// ClientCert is whether clients have to show a certificate, by whose CAs it is judged, and what is told the endpoint. In ingress-nginx
// the settings of the oldest Ingress that has them count for the whole host; resolve says how far they reach here.
//
// The handshake only asks for a certificate. It is judged when a request comes, so that the answer can be one of HTTP.
type ClientCert struct {
	Secret     SecretName // holds ca.crt, and perhaps ca.crl; the zero value asks for nothing
	Verify     Verify
	Depth      int            // how many CAs may stand between the certificate and one that is trusted
	ErrorPage  string         // where clients without a good certificate are sent; empty answers them 400
	Forward    bool           // the endpoint gets the certificate itself
	CommonName *regexp.Regexp // of "CN=..." of the subject; nil lets everybody in who has a good certificate

	// Bad tells that a value could not be used, so that nobody can be judged.
	Bad bool
}

// SecretName is a Secret as an annotation names it. An empty Namespace is that of the Ingress.
type SecretName struct{ Namespace, Name string }

// Verify is what is wanted of clients.
type Verify string

// The words of auth-tls-verify-client.
const (
	VerifyOn           Verify = "on"             // a good certificate
	VerifyOff          Verify = "off"            // nothing; no certificate is asked for
	VerifyOptional     Verify = "optional"       // a good certificate, or none
	VerifyOptionalNoCA Verify = "optional_no_ca" // any certificate, or none: the endpoint judges who issued it
)

func defaultClientCert() ClientCert { return ClientCert{Verify: VerifyOn, Depth: 1} }

// Wanted reports whether anything was configured, be it badly.
func (c *ClientCert) Wanted() bool { return c.Secret.Name != "" || c.Bad }

// Verdict is what became of a client's certificate.
type Verdict struct {
	Shown   bool   // there is one
	Failure string // why it is not good, in OpenSSL's words; empty if it is
	Unknown bool   // all that is wrong is that no CA of ours stands behind it
}

// String is nginx's $ssl_client_verify: "NONE", "SUCCESS" or "FAILED:reason".
func (v Verdict) String() string {
	switch {
	case !v.Shown:
		return "NONE"
	case v.Failure != "":
		return "FAILED:" + v.Failure
	}
	return "SUCCESS"
}

// Admit decides whether a client is let in whose certificate, with these common names, got this Verdict. The zero Answer lets it in.
func (c *ClientCert) Admit(v Verdict, commonNames []string) Answer {
	switch {
	case c.Verify == VerifyOff:
	case v.Failure != "" && (c.Verify != VerifyOptionalNoCA || !v.Unknown):
		return c.refuse(BadClientCertificate)
	case !v.Shown && c.Verify == VerifyOn:
		return c.refuse(NoClientCertificate)
	}
	if c.CommonName != nil && !c.names(commonNames) {
		return Answer{Status: 403, Reason: ClientCertificateDenied}
	}
	return Answer{}
}

func (c *ClientCert) refuse(reason Reason) Answer {
	if c.ErrorPage != "" {
		return Answer{Status: 302, Reason: reason, Location: c.ErrorPage}
	}
	return Answer{Status: 400, Reason: reason}
}

func (c *ClientCert) names(commonNames []string) bool {
	for _, name := range commonNames {
		if c.CommonName.MatchString("CN=" + name) {
			return true
		}
	}
	return false
}

func clientCertKeys() []Key {
	bad := func(s *Set) { s.ClientCert.Bad = true }
	return []Key{
		{Name: "auth-tls-secret", Values: "namespace/name", Default: "", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc: "Secret with the CAs of client certificates (ca.crt) and perhaps revocation lists (ca.crl), in the Ingress's own namespace. Paths of " +
				"the host that name none follow the oldest Ingress that does, of the namespace that the host belongs to; in another it closes its paths.",
			parse: func(s *Set, v string) (err error) { s.ClientCert.Secret, err = parseSecretName(v); return err }},
		{Name: "auth-tls-verify-client", Values: "on, off, optional or optional_no_ca", Default: "on", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc: "What is wanted: a good certificate, nothing, a good one or none, any or none. A client is refused by 400 after the handshake, not in " +
				"it; also over plain HTTP, where that is not redirected.",
			parse: parseVerifyClient},
		{Name: "auth-tls-verify-depth", Values: "number", Default: "1", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc:   "How many intermediate CAs may stand between a client's certificate and a trusted CA.",
			parse: func(s *Set, v string) (err error) { s.ClientCert.Depth, err = parseInt(v, 0, 100); return err }},
		{Name: "auth-tls-error-page", Values: "URL", Default: "", Scope: ScopeHost, Bad: UseDefault,
			Doc:   "Where a client without a good certificate is redirected (302), instead of the 400. Variables of nginx are not replaced.",
			parse: func(s *Set, v string) (err error) { s.ClientCert.ErrorPage, err = parseAbsoluteURL(v); return err }},
		{Name: "auth-tls-pass-certificate-to-upstream", Values: "bool", Default: "false", Scope: ScopeHost, Bad: UseDefault,
			Doc: "Send the certificate as ssl-client-cert (PEM, percent-encoded). ssl-client-verify, ssl-client-subject-dn and ssl-client-issuer-dn are " +
				"always sent with auth-tls-secret; what clients write into these four is always dropped.",
			parse: func(s *Set, v string) (err error) { s.ClientCert.Forward, err = parseBool(v); return err }},
		{Name: "auth-tls-match-cn", Values: "CN= and a regular expression (RE2)", Default: "", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc: "Which common names of the certificate's subject are let in; others get 403. As in ingress-nginx the expression is tied to the " +
				"beginning of the name only: end it with $ to mean all of it. Other parts of the subject are not looked at.",
			parse: parseMatchCN},
	}
}

// parseSecretName reads namespace/name; the namespace may be left out.
func parseSecretName(v string) (SecretName, error) {
	namespace, name, both := strings.Cut(v, "/")
	if !both {
		namespace, name = "", v
	}
	if name == "" || both && namespace == "" || strings.ContainsAny(v, " \t\r\n") || strings.Contains(name, "/") {
		return SecretName{}, errors.New("want namespace/name")
	}
	return SecretName{namespace, name}, nil
}

func parseVerifyClient(s *Set, v string) error {
	switch word := Verify(v); word {
	case VerifyOn, VerifyOff, VerifyOptional, VerifyOptionalNoCA:
		s.ClientCert.Verify = word
		return nil
	}
	return errors.New("want on, off, optional or optional_no_ca")
}

// parseAbsoluteURL reads the target of a redirect, which is sent as it is.
func parseAbsoluteURL(v string) (string, error) {
	for i := range len(v) {
		if v[i] <= ' ' || v[i] >= 0x7f || strings.IndexByte("\"<>\\^`{|}$", v[i]) >= 0 {
			return "", errors.New("want an absolute http or https URL without spaces or variables")
		}
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("want an absolute http or https URL")
	}
	return v, nil
}

// parseMatchCN ties the expression to the beginning of the common name: in nginx, where it is looked for anywhere in the whole subject,
// a certificate for O="CN=admin" passes for an administrator's.
func parseMatchCN(s *Set, v string) error {
	if !strings.HasPrefix(v, "CN=") {
		return errors.New("want CN= and a regular expression")
	}
	parsed, err := syntax.Parse(v, syntax.Perl)
	if err != nil {
		return fmt.Errorf("want a regular expression without lookaround and backreferences (RE2): %w", err)
	}
	if parsed.Op == syntax.OpAlternate {
		return errors.New("want CN= before all of the alternatives, as in CN=(a|b)")
	}
	if otherAttribute.MatchString(v) {
		return errors.New("want the common name alone: other parts of the subject are not looked at")
	}
	s.ClientCert.CommonName, err = regexp.Compile("^(?:" + v + ")")
	return err
}

// otherAttribute is what an expression looks like that means several attributes of the subject.
var otherAttribute = regexp.MustCompile(`,\s*[A-Za-z]+=`)

// incompleteClientCert tells which option of an Ingress restricts access and says nothing without auth-tls-secret; "" if none does.
// ingress-nginx ignores it, and leaves open what somebody meant to close.
func incompleteClientCert(s *Set) string {
	switch c := &s.ClientCert; {
	case c.CommonName != nil:
		return "auth-tls-match-cn"
	case s.Wrote("auth-tls-verify-client") && c.Verify == VerifyOn:
		return "auth-tls-verify-client"
	}
	return ""
}
