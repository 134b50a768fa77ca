package policy

import (
	"errors"
	"strings"
)

// UpstreamTLS is how endpoints are spoken to over TLS, where backend-protocol or appProtocol ask for that. As in ingress-nginx the
// zero Secret leaves everything at its default: nothing is verified and no name is sent. It is comparable.
type UpstreamTLS struct {
	Secret   SecretName // holds ca.crt, to verify endpoints, or tls.crt and tls.key, to show them, or all three
	Verify   bool
	Depth    int    // how many CAs may stand between the endpoint's certificate and one that is trusted
	Name     string // verified, and sent as SNI; empty is the Service's own
	SNI      bool
	Min, Max uint16 // versions, as crypto/tls numbers them
	Ciphers  string // as in TLS

	// Bad tells that a value could not be used, so that endpoints cannot be verified as somebody wanted.
	Bad bool
}

func defaultUpstreamTLS() UpstreamTLS {
	t := DefaultTLS()
	return UpstreamTLS{Depth: 1, Min: t.Min, Max: t.Max}
}

// Wanted reports whether anything was configured, be it badly.
func (u *UpstreamTLS) Wanted() bool { return u.Secret.Name != "" || u.Bad }

func upstreamTLSKeys() []Key {
	bad := func(s *Set) { s.UpstreamTLS.Bad = true }
	return []Key{
		{Name: "proxy-ssl-secret", Values: "namespace/name", Default: "", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc: "Secret for TLS to endpoints, in the Ingress's own namespace: ca.crt verifies their certificates, tls.crt and tls.key are shown to " +
				"them. The other proxy-ssl options need it. Paths of the host that name none, in the same namespace, follow the oldest Ingress that does.",
			parse: func(s *Set, v string) (err error) { s.UpstreamTLS.Secret, err = parseSecretName(v); return err }},
		{Name: "proxy-ssl-verify", Values: "on or off", Default: "off", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc:   "Verify the endpoint's certificate, by ca.crt of proxy-ssl-secret. One that does not pass answers 502.",
			parse: func(s *Set, v string) (err error) { s.UpstreamTLS.Verify, err = parseOnOff(v); return err }},
		{Name: "proxy-ssl-verify-depth", Values: "number", Default: "1", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc:   "How many intermediate CAs may stand between the endpoint's certificate and a trusted CA.",
			parse: func(s *Set, v string) (err error) { s.UpstreamTLS.Depth, err = parseInt(v, 0, 100); return err }},
		{Name: "proxy-ssl-name", Values: "DNS name or address", Default: "", Scope: ScopeHost, Bad: DenyAccess, spoil: bad,
			Doc: "Name that the endpoint's certificate must have, and that is sent as SNI. Without it that is SERVICE.NAMESPACE.svc, or the externalName " +
				"of the Service; in ingress-nginx verification then fails.",
			parse: parseUpstreamName},
		{Name: "proxy-ssl-server-name", Values: "on or off", Default: "off", Scope: ScopeHost, Bad: UseDefault,
			Doc:   "Send the name as SNI.",
			parse: func(s *Set, v string) (err error) { s.UpstreamTLS.SNI, err = parseOnOff(v); return err }},
		{Name: "proxy-ssl-protocols", Values: "as ssl-protocols", Default: "TLSv1.2 TLSv1.3", Scope: ScopeHost, Bad: UseDefault,
			Doc:   "TLS versions spoken to endpoints. Those between the lowest and the highest are always on. ingress-nginx's default is TLSv1.2.",
			parse: parseUpstreamProtocols},
		{Name: "proxy-ssl-ciphers", Values: "as ssl-ciphers", Default: "DEFAULT", Scope: ScopeHost, Bad: UseDefault,
			Doc:   "Cipher suites up to TLS 1.2 for endpoints. DEFAULT is Go's choice.",
			parse: parseUpstreamCiphers},
	}
}

func parseUpstreamName(s *Set, v string) error {
	for i := range len(v) {
		c := v[i] | 0x20
		if (c < 'a' || c > 'z') && (v[i] < '0' || v[i] > '9') && strings.IndexByte("-._:", v[i]) < 0 {
			return errors.New("want a DNS name or an IP address")
		}
	}
	s.UpstreamTLS.Name = strings.ToLower(v)
	return nil
}

// parseUpstreamProtocols and parseUpstreamCiphers read what ssl-protocols and ssl-ciphers are, for the other side.
func parseUpstreamProtocols(s *Set, v string) error {
	read := Set{TLS: DefaultTLS()}
	err := parseProtocols(&read, v)
	s.UpstreamTLS.Min, s.UpstreamTLS.Max = read.TLS.Min, read.TLS.Max
	return err
}

func parseUpstreamCiphers(s *Set, v string) error {
	if strings.EqualFold(v, "DEFAULT") {
		s.UpstreamTLS.Ciphers = ""
		return nil
	}
	read := Set{TLS: DefaultTLS()}
	err := parseCiphers(&read, v)
	s.UpstreamTLS.Ciphers = read.TLS.Ciphers
	return err
}

// CipherSuites are the numbers of the suites in Ciphers; nil is Go's choice.
func (u *UpstreamTLS) CipherSuites() []uint16 { return (&TLS{Ciphers: u.Ciphers}).CipherSuites() }

// incompleteUpstreamTLS is proxy-ssl-verify where it is on without a Secret to verify by, which ingress-nginx ignores; "" otherwise.
func incompleteUpstreamTLS(s *Set) string {
	if s.UpstreamTLS.Verify {
		return "proxy-ssl-verify"
	}
	return ""
}
