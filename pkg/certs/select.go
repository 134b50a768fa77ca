// Package certs decides which certificate answers a TLS handshake.
//
// Certificates live in the route Table, so they change together with the routes: a renewed Secret is a new Table, and the next
// handshake serves it. Nothing is reloaded and no connection is dropped. A handshake reads the Table once and keeps it to its end.
//
// The order is, for the server name (SNI) that the client asks for:
//
//  1. the certificates for exactly this name
//  2. those of the wildcard that covers its first label
//  3. the default certificate (--default-ssl-certificate); a client that names no server starts here
//  4. the self-signed fallback, which no client trusts and whose subject says what is missing
//
// A step may hold several certificates, such as an RSA and an ECDSA one for the same name. Then one that the client can verify goes
// before one that it cannot, one within its period of validity before an expired one, and ECDSA before RSA, since it signs faster
// and is smaller. An expired certificate is still served, because the client's error then names the true cause, unless another
// certificate for the same name is fit.
//
// For example, with "shop.example.com" (expired) and "*.example.com" (valid), both names get the wildcard; with only the expired
// one, "shop.example.com" gets that, and "blog.example.com" goes to step 3.
//
// The choice itself is a method of the Table's Certificates (route/choose.go), so that package explain makes the same one. Certificates
// that ACME gave (acme.go) stand in the Table beside those of Secrets.
//
// The choice binds the handshake, not the requests that follow: a browser may send requests for another host that the certificate
// covers on the same HTTP/2 connection (RFC 9113 section 9.1.1), and they are routed by their own host. A host whose handshakes have
// other settings than the one at hand answers 421 to that (route.Misdirected).
package certs

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

// Source is the step of the order that gave a certificate.
type Source string

// The sources, in order.
const (
	Named    Source = "name" // steps 1 and 2
	Default  Source = "default"
	Fallback Source = "fallback"
)

// Tables gives the Table in use, or nil before the first one. route.Live is one.
type Tables interface{ Load() *route.Table }

// Observer is told what each handshake was answered with. A rising count of "fallback" is a certificate that somebody expects and
// that is not there.
type Observer interface{ CertificateServed(source string) }

// Selector answers handshakes with certificates from the Table in use. It is safe for concurrent use.
type Selector struct {
	tables   Tables
	fallback *tls.Certificate
	observer Observer
	now      func() time.Time
	base     *tls.Config // of the listeners
	acme     *Issuer     // nil without ACME

	mu       sync.Mutex
	variants map[variant]*tls.Config // for hosts with settings of their own
}

// New makes a Selector and its self-signed fallback certificate. observer may be nil.
func New(tables Tables, observer Observer) (*Selector, error) {
	fallback, err := selfSigned(time.Now())
	if err != nil {
		return nil, err
	}
	s := &Selector{tables: tables, fallback: fallback, observer: observer, now: time.Now, variants: map[variant]*tls.Config{}}
	s.base = s.newBase()
	return s, nil
}

// GetCertificate is for tls.Config. The fallback answers what nothing else does, but for ssl-reject-handshake: then a name that no
// host is served under has no certificate, of which crypto/tls makes the alert unrecognized_name.
func (s *Selector) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var set *route.Certificates
	t := s.tables.Load()
	if t != nil {
		set = t.Certificates
	}
	chosen, source := choose(set, hello.ServerName, route.Client{Hello: hello, Now: s.now()})
	if source != Named && rejects(t, hello.ServerName) {
		return nil, nil
	}
	if s.observer != nil {
		s.observer.CertificateServed(string(source))
	}
	if chosen == nil {
		return s.fallback, nil
	}
	return chosen.TLS, nil
}

// rejects reports whether a name without a certificate of its own is one to refuse. A host whose certificate is missing is not: its
// clients are to see an error that names the host.
func rejects(t *route.Table, name string) bool {
	if t == nil || t.Policy == nil || !t.Policy.RejectHandshake {
		return false
	}
	var buffer [maxName]byte
	host := t.Hosts.Find(canonicalName(name, &buffer))
	return host == nil || host.Name == "" || !host.TLS
}

// choose is the choice by the order above. The certificate is nil when the fallback answers.
func choose(set *route.Certificates, name string, c route.Client) (*route.Certificate, Source) {
	var buffer [maxName]byte
	chosen, named := set.Choose(canonicalName(name, &buffer), c)
	switch {
	case named:
		return chosen, Named
	case chosen != nil:
		return chosen, Default
	}
	return nil, Fallback
}

// AnswerFor makes the Selector answer the TLS-ALPN-01 challenges of an Issuer. It is to be called before the first handshake.
func (s *Selector) AnswerFor(i *Issuer) { s.acme = i }
