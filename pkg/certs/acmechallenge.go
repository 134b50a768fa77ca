package certs

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
)

// manages tells whether name is one that a CA may ask about.
func (i *Issuer) manages(name string) bool { return (*i.known.Load())[name] }

// Answer answers HTTP-01 challenges (RFC 8555 section 8.3) for names it manages, whichever replica ordered, and hands on everything
// else, among it the challenges of other ACME clients behind Usher.
func (i *Issuer) Answer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") && r.TLS == nil && i.answers(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (i *Issuer) answers(w http.ResponseWriter, r *http.Request) bool {
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	if !i.manages(strings.TrimSuffix(host, ".")) {
		return false
	}
	return slices.ContainsFunc(i.http, func(a *certmagic.ACMEIssuer) bool { return a.HandleHTTPChallenge(w, r) })
}

// challenge is the TLS configuration for a TLS-ALPN-01 challenge (RFC 8737), or nil if the handshake is none for a name it manages.
func (i *Issuer) challenge(hello *tls.ClientHelloInfo) *tls.Config {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmez.ACMETLS1Protocol {
		return nil
	}
	var buffer [maxName]byte
	if !i.manages(canonicalName(hello.ServerName, &buffer)) {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{acmez.ACMETLS1Protocol},
		GetCertificate: i.plain.GetCertificate,
	}
}
