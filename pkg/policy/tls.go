package policy

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// TLS is what a handshake may agree on. It is decided by the server name that the client asks for, before there is a request, so the
// annotations count for the whole host: those of the oldest Ingress that has any.
//
// It is comparable: two that are equal need one configuration.
type TLS struct {
	Min, Max uint16 // versions, as crypto/tls numbers them
	Ciphers  string // OpenSSL's names of the suites for TLS 1.2 and before, separated by colons; empty is the default, see CipherSuites
	Curves   string // key exchanges, in the same way; empty is Go's choice
	Tickets  bool   // resume sessions

	OnlyHTTP1 bool // HTTP/2 is not offered
}

// DefaultTLS is TLS 1.2 and 1.3 with what Go chooses: forward secrecy always, the post-quantum X25519MLKEM768 first.
func DefaultTLS() TLS {
	return TLS{Min: tls.VersionTLS12, Max: tls.VersionTLS13, Tickets: true}
}

// String names what differs from the default.
func (t *TLS) String() string {
	text := tls.VersionName(t.Min)
	if t.Max != t.Min {
		text += " to " + tls.VersionName(t.Max)
	}
	for _, list := range []string{t.Ciphers, t.Curves} {
		if list != "" {
			text += " " + list
		}
	}
	return text
}

// TicketKey encrypts session tickets if the ConfigMap gives one. It prints as nothing.
type TicketKey struct{ key string }

// Bytes is the key, or nil.
func (k TicketKey) Bytes() []byte { return []byte(k.key) }

// Format implements fmt.Formatter: keys are not for logs.
func (TicketKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(hidden)")) }

// CipherSuites are the numbers of the suites in Ciphers. The default are those with forward secrecy and AEAD, as in ingress-nginx. Where
// a version before TLS 1.2 is let in, which has none of them, it is nil: Go's choice, with CBC.
func (t *TLS) CipherSuites() []uint16 {
	if t.Ciphers == "" && t.Min >= tls.VersionTLS12 {
		return []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}
	}
	var out []uint16
	for _, name := range splitColons(t.Ciphers) {
		out = append(out, cipherNames()[name])
	}
	return out
}

// KeyExchanges are the numbers of those in Curves; nil is Go's choice.
func (t *TLS) KeyExchanges() []tls.CurveID {
	var out []tls.CurveID
	for _, name := range splitColons(t.Curves) {
		out = append(out, curveNames()[strings.ToLower(name)])
	}
	return out
}

func tlsKeys() []Key {
	return []Key{
		{Name: "ssl-protocols", ConfigMap: "ssl-protocols", Values: "TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3, separated by spaces", Default: "TLSv1.2 TLSv1.3",
			Scope: ScopeHost, Bad: UseDefault,
			Doc: "TLS versions for the host. Those between the lowest and the highest are always on. ingress-nginx has this in the ConfigMap " +
				"only; the annotation is Usher's own.",
			parse: parseProtocols},
		{Name: "ssl-ciphers", ConfigMap: "ssl-ciphers", Values: "OpenSSL names, separated by colons", Default: "", Scope: ScopeHost, Bad: UseDefault,
			Doc: "Cipher suites for the host, up to TLS 1.2; those of TLS 1.3 cannot be chosen. Without it those with forward secrecy and AEAD, as in ingress-nginx; and CBC where " +
				"ssl-protocols has a version before TLS 1.2. Suites that Go lacks (finite-field DHE, " +
				"CAMELLIA, ARIA, RC4, DES) and OpenSSL's keywords (HIGH, !aNULL) are reported and left out. The order is Go's.",
			parse: parseCiphers},
		{Name: "ssl-ecdh-curve", ConfigMap: "ssl-ecdh-curve", Values: "auto, or names separated by colons", Default: "auto", Scope: ScopeHost, Bad: UseDefault,
			Doc: "Key exchanges: X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, X25519, prime256v1, secp384r1, secp521r1. auto is all " +
				"of them, post-quantum first. ingress-nginx has this in the ConfigMap only.",
			parse: parseCurves},
		{ConfigMap: "ssl-session-tickets", Values: "bool", Default: "true", Scope: ScopeGlobal, Bad: UseDefault,
			Doc: "Resume TLS sessions by tickets, under keys that replicas share and rotate. There is no session cache, so false means a full " +
				"handshake for every connection. ingress-nginx's default is false, with a cache.",
			parse: func(s *Set, v string) (err error) { s.TLS.Tickets, err = parseBool(v); return err }},
		{ConfigMap: "ssl-session-ticket-key", Values: "base64 of 48 or 80 random bytes", Default: "", Scope: ScopeGlobal, Bad: UseDefault, Hidden: true,
			Doc: "One key for session tickets, which Usher then does not rotate. Whoever can read the ConfigMap can read recorded sessions of " +
				"TLS 1.2; leave it out to have keys in a Secret, rotated daily.",
			parse: parseTicketKey},
		{ConfigMap: "ssl-reject-handshake", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Refuse handshakes for names without a certificate (unrecognized_name) instead of serving the default one.",
			parse: func(s *Set, v string) (err error) { s.RejectHandshake, err = parseBool(v); return err }},
	}
}

// parseProtocols reads nginx's list. Go knows a range only.
func parseProtocols(s *Set, v string) error {
	known := map[string]uint16{"TLSV1": tls.VersionTLS10, "TLSV1.0": tls.VersionTLS10, "TLSV1.1": tls.VersionTLS11, "TLSV1.2": tls.VersionTLS12, "TLSV1.3": tls.VersionTLS13}
	var versions []uint16
	var dropped []string
	for _, word := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' }) {
		if version, ok := known[strings.ToUpper(word)]; ok {
			versions = append(versions, version)
			continue
		}
		dropped = append(dropped, word)
	}
	if len(versions) == 0 {
		return errors.New("want some of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3")
	}
	s.TLS.Min, s.TLS.Max = slices.Min(versions), slices.Max(versions)
	if len(dropped) > 0 {
		return partial{"Go does not have " + strings.Join(dropped, ", "), restApplies}
	}
	for version := s.TLS.Min; version <= s.TLS.Max; version++ {
		if !slices.Contains(versions, version) {
			return partial{tls.VersionName(version) + " lies between and is on too: Go knows a lowest and a highest version only", restApplies}
		}
	}
	return nil
}

func parseCiphers(s *Set, v string) error {
	kept, dropped := sortNames(v, func(name string) (string, bool) {
		_, ok := cipherNames()[strings.ToUpper(name)]
		return strings.ToUpper(name), ok
	})
	dropped = slices.DeleteFunc(dropped, isTLS13Suite) // always on
	if len(kept) == 0 {
		return errors.New("want at least one cipher suite that Go has, such as ECDHE-ECDSA-AES128-GCM-SHA256")
	}
	s.TLS.Ciphers = strings.Join(kept, ":")
	if len(dropped) > 0 {
		return partial{"Go does not have " + strings.Join(dropped, ", "), restApplies}
	}
	return nil
}

func isTLS13Suite(name string) bool {
	return slices.ContainsFunc(tls.CipherSuites(), func(c *tls.CipherSuite) bool {
		return c.Name == strings.ToUpper(name) && c.SupportedVersions[0] == tls.VersionTLS13
	})
}

func parseCurves(s *Set, v string) error {
	if strings.EqualFold(v, "auto") {
		s.TLS.Curves = ""
		return nil
	}
	kept, dropped := sortNames(v, func(name string) (string, bool) {
		_, ok := curveNames()[strings.ToLower(name)]
		return name, ok
	})
	if len(kept) == 0 {
		return errors.New("want auto, or names such as X25519:prime256v1")
	}
	s.TLS.Curves = strings.Join(kept, ":")
	if len(dropped) > 0 {
		return partial{"Go does not have " + strings.Join(dropped, ", "), restApplies}
	}
	return nil
}

// parseTicketKey reads what `openssl rand 80 | base64` writes, as nginx takes it from a file.
func parseTicketKey(s *Set, v string) error {
	key, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(key) != 48 && len(key) != 80 {
		return errors.New("want 48 or 80 random bytes in base64, as openssl rand -base64 80 makes them")
	}
	sum := sha256.Sum256(key)
	s.TicketKey = TicketKey{string(sum[:])}
	return nil
}

// sortNames splits a list at colons into the names that are known, each once, and the others.
func sortNames(v string, known func(string) (string, bool)) (kept, dropped []string) {
	for _, name := range splitColons(v) {
		canonical, ok := known(name)
		switch {
		case !ok:
			dropped = append(dropped, name)
		case !slices.Contains(kept, canonical):
			kept = append(kept, canonical)
		}
	}
	return kept, dropped
}

func splitColons(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ':' || r == ' ' || r == ',' })
}

// cipherNames are the suites up to TLS 1.2 by OpenSSL's names and by those of the registry. RC4 and 3DES, which Go still has, are left
// out: they are broken, and no client needs them.
var cipherNames = sync.OnceValue(func() map[string]uint16 {
	names := map[string]uint16{}
	for _, c := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if c.SupportedVersions[0] == tls.VersionTLS13 || strings.Contains(c.Name, "RC4") || strings.Contains(c.Name, "3DES") {
			continue
		}
		names[c.Name] = c.ID
		names[openSSLName(c.Name)] = c.ID
	}
	return names
})

// openSSLName makes ECDHE-RSA-AES128-GCM-SHA256 of TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.
func openSSLName(name string) string {
	name = strings.TrimPrefix(name, "TLS_")
	name = strings.TrimPrefix(name, "RSA_WITH_") // plain RSA key exchange has no name there
	name = strings.NewReplacer("_WITH_", "-", "AES_128", "AES128", "AES_256", "AES256", "_CBC", "").Replace(name)
	name = strings.ReplaceAll(name, "_", "-")
	return strings.Replace(name, "CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305", 1)
}

var curveNames = sync.OnceValue(func() map[string]tls.CurveID {
	return map[string]tls.CurveID{
		"x25519mlkem768": tls.X25519MLKEM768, "secp256r1mlkem768": tls.SecP256r1MLKEM768, "secp384r1mlkem1024": tls.SecP384r1MLKEM1024,
		"x25519": tls.X25519, "prime256v1": tls.CurveP256, "secp256r1": tls.CurveP256, "p-256": tls.CurveP256,
		"secp384r1": tls.CurveP384, "p-384": tls.CurveP384, "secp521r1": tls.CurveP521, "p-521": tls.CurveP521,
	}
})
