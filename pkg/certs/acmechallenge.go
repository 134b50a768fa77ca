package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/usher-ingress/usher/pkg/route"
)

// manages reports whether name is one that a CA may ask about.
func (i *Issuer) manages(name string) bool { return (*i.known.Load())[name] }

// Answer answers HTTP-01 challenges (RFC 8555 section 8.3) for names it manages, whichever replica ordered, and hands on everything
// else, among it the challenges of other ACME clients behind Usher.
func (i *Issuer) Answer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, challengePath) && r.TLS == nil && i.answers(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

const (
	challengePath = "/.well-known/acme-challenge/"
	mostToken     = 256 // of bytes; CAs take 43
)

func (i *Issuer) answers(w http.ResponseWriter, r *http.Request) bool {
	if !isToken(strings.TrimPrefix(r.URL.Path, challengePath)) || !certmagic.LooksLikeHTTPChallenge(r) {
		return false
	}
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	host = strings.TrimSuffix(host, ".")
	if !i.manages(host) {
		return false
	}
	c, ok := i.find(r.Context(), host)
	return ok && certmagic.SolveHTTPChallenge(i.options.Log, w, r, c)
}

// isToken reports whether a CA could have chosen s: base64url, of bounded length.
func isToken(s string) bool {
	return s != "" && len(s) <= mostToken && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	})
}

// find gives the challenge of a name that it manages.
func (i *Issuer) find(ctx context.Context, name string) (acme.Challenge, bool) {
	if i.configFor(name) != i.plain || isWildcard(name) {
		return acme.Challenge{}, false // proved by DNS-01
	}
	limit := i.lookups.pending
	if c := i.issued.Load().certificates[name]; c != nil && !nearRenewal(c, time.Now()) {
		limit = i.lookups.settled
	}
	return i.lookups.find(ctx, name, limit)
}

// nearRenewal reports whether another replica may be renewing c: a little sooner than certmagic does here, since clocks differ.
func nearRenewal(c *route.Certificate, now time.Time) bool {
	const early = 1.2
	window := early * certmagic.DefaultRenewalWindowRatio * float64(c.Until.Sub(c.NotFrom))
	return float64(c.Until.Sub(now)) < window
}

// challenge is the TLS configuration for a TLS-ALPN-01 challenge (RFC 8737), or nil if the handshake is none for a name it manages.
func (i *Issuer) challenge(hello *tls.ClientHelloInfo) *tls.Config {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmez.ACMETLS1Protocol {
		return nil
	}
	var buffer [maxName]byte
	name := strings.Clone(canonicalName(hello.ServerName, &buffer))
	if !i.manages(name) {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{acmez.ACMETLS1Protocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return i.challengeCertificate(hello.Context(), name)
		},
	}
}

func (i *Issuer) challengeCertificate(ctx context.Context, name string) (*tls.Certificate, error) {
	c, ok := i.find(ctx, name)
	if !ok {
		return nil, errors.New("no challenge of " + name + " is under way")
	}
	return acmez.TLSALPN01ChallengeCert(c)
}
