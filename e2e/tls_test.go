//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"

	"github.com/usher-ingress/usher/e2e/cluster"
)

func TestTLS(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	authority, err := cluster.NewAuthority("shop's own")
	if err != nil {
		t.Fatal(err)
	}
	s.secret("exact", newPair(t, authority, "shop.tls.example"))
	s.secret("wild", newPair(t, authority, "*.tls.example"))
	s.ingress("tls", `
tls:
- {hosts: [shop.tls.example], secretName: exact}
- {hosts: ["*.tls.example"], secretName: wild}
- {hosts: [lost.example], secretName: nowhere}
rules:
- {host: shop.tls.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
- {host: "*.tls.example", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
- {host: lost.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
`)
	s.route("plain", "plain.example", "/", "web")
	u := s.usher()

	t.Run("certificate by name", func(t *testing.T) {
		trusting := u.newClient(&tls.Config{RootCAs: authority.Pool()})
		for _, host := range []string{"shop.tls.example", "other.tls.example"} {
			await(t, func() error { return answers(trusting, "https://"+host+"/", "web") })
		}
		for host, want := range map[string]string{"shop.tls.example": "shop.tls.example", "other.tls.example": "*.tls.example"} {
			if got := u.expect("https://"+host+"/", "web").TLS.PeerCertificates[0].DNSNames[0]; got != want {
				t.Errorf("%s shows the certificate of %s, want %s", host, got, want)
			}
		}
	})
	t.Run("a missing Secret leaves the fallback", func(t *testing.T) {
		a := u.expect("https://lost.example/", "web")
		if names := a.TLS.PeerCertificates[0].DNSNames; len(names) > 0 && names[0] == "shop.tls.example" {
			t.Errorf("shows somebody's certificate: %v", names)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		a := u.expect("https://shop.tls.example/", "web")
		if a.Proto != "HTTP/2.0" {
			t.Errorf("protocol %s, want HTTP/2.0", a.Proto)
		}
		if got := a.echo.Header.Get("X-Forwarded-Proto"); got != "https" {
			t.Errorf("X-Forwarded-Proto %q, want https", got)
		}
		if a.Header.Get("Strict-Transport-Security") == "" {
			t.Error("no Strict-Transport-Security")
		}
	})
	t.Run("redirect to HTTPS", func(t *testing.T) {
		a := u.expect("http://shop.tls.example/cart?a=b", "308 https-redirect")
		if got := a.Header.Get("Location"); got != "https://shop.tls.example/cart?a=b" {
			t.Errorf("Location %q", got)
		}
		u.expect("http://shop.tls.example/.well-known/acme-challenge/token", "web")
		u.expect("http://plain.example/", "web")
	})
	t.Run("TLS 1.1 is refused", func(t *testing.T) {
		client := u.newClient(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if a, err := get(client, "https://shop.tls.example/"); err == nil {
			t.Errorf("answered %s", a)
		}
	})
	t.Run("rotation under load", func(t *testing.T) {
		next, err := cluster.NewAuthority("next")
		if err != nil {
			t.Fatal(err)
		}
		l := u.load("https://shop.tls.example/")
		l.more(t, 50)
		s.secret("exact", newPair(t, next, "shop.tls.example"))
		await(t, func() error {
			// A new connection each time: the certificate is chosen in the handshake.
			return answers(u.newClient(&tls.Config{RootCAs: next.Pool()}), "https://shop.tls.example/", "web")
		})
		l.more(t, 50)
		l.finish(t)
	})
}

// TestTwoCertificates has an RSA and an ECDSA certificate for one name.
func TestTwoCertificates(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	authority, err := cluster.NewAuthority("both")
	if err != nil {
		t.Fatal(err)
	}
	old, err := authority.ServerRSA("both.example")
	if err != nil {
		t.Fatal(err)
	}
	s.secret("rsa", old)
	s.secret("ecdsa", newPair(t, authority, "both.example"))
	s.ingress("both", `
tls:
- {hosts: [both.example], secretName: rsa}
- {hosts: [both.example], secretName: ecdsa}
rules: [{host: both.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`)
	u := s.usher()
	for suite, want := range map[uint16]string{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:   "RSA",
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDSA",
	} {
		client := u.newClient(&tls.Config{RootCAs: authority.Pool(), MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
		await(t, func() error {
			a, err := get(client, "https://both.example/")
			if err != nil {
				return err
			}
			if got := a.TLS.PeerCertificates[0].PublicKeyAlgorithm.String(); got != want {
				return fmt.Errorf("a client that wants %s gets %s", want, got)
			}
			return nil
		})
	}
}

// TestDefaultCertificate names a Secret for all hosts without a certificate.
func TestDefaultCertificate(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	authority, err := cluster.NewAuthority("default")
	if err != nil {
		t.Fatal(err)
	}
	s.secret("fallback", newPair(t, authority, "*.fallback.example"))
	s.ingress("covered", `
tls: [{hosts: [a.fallback.example]}]
rules: [{host: a.fallback.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`)
	u := s.usher("--default-ssl-certificate", s.namespace+"/fallback")
	client := u.newClient(&tls.Config{RootCAs: authority.Pool()})
	await(t, func() error { return answers(client, "https://a.fallback.example/", "web") })
}

func newPair(t *testing.T, authority *cluster.Authority, names ...string) cluster.KeyPair {
	t.Helper()
	pair, err := authority.Server(names...)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// answers returns nil when the URL is answered as wanted, see answer.String.
func answers(client *http.Client, url, want string) error {
	a, err := get(client, url)
	if err != nil {
		return err
	}
	if a.String() != want {
		return fmt.Errorf("%s is answered by %q, want %q", url, a, want)
	}
	return nil
}
