package pool

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// chain makes a CA, so many intermediate ones, and a certificate, which comes first. Options change the last.
func chain(t *testing.T, intermediates int, options ...func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	for i := range intermediates + 2 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		c.Subject.SerialNumber = string(rune('a' + i))
		if i == intermediates+1 {
			c.IsCA, c.KeyUsage, c.Subject = false, x509.KeyUsageDigitalSignature, pkix.Name{CommonName: "app.example.com"}
			for _, o := range options {
				o(c)
			}
		}
		if parent == nil {
			parent, parentKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = key
		out = append(out, parent)
	}
	slices.Reverse(out)
	return out
}

func TestVerifyEndpoint(t *testing.T) {
	named := func(c *x509.Certificate) { c.DNSNames = []string{"app.example.com", "*.wild.example.com"} }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for _, c := range []struct {
		what          string
		chain         []*x509.Certificate
		depth         int
		name, problem string
	}{
		{"named", chain(t, 0, named), 0, "app.example.com", ""},
		{"by wildcard", chain(t, 0, named), 0, "a.wild.example.com", ""},
		{"another name", chain(t, 0, named), 0, "b.example.com", "valid for app.example.com"},
		{"common name only, as OpenSSL has it", chain(t, 0), 0, "App.example.com", ""},
		{"another common name", chain(t, 0), 0, "b.example.com", "wanted to match b.example.com"},
		{"alternative names go before the common one", chain(t, 0, func(c *x509.Certificate) { c.DNSNames = []string{"b.example.com"} }), 0, "app.example.com", "valid for b.example.com"},
		{"one intermediate", chain(t, 1, named), 1, "app.example.com", ""},
		{"one intermediate, none allowed", chain(t, 1, named), 0, "app.example.com", "proxy-ssl-verify-depth is 0"},
		{"expired", chain(t, 0, named, expired), 0, "app.example.com", "expired"},
		{"for clients only", chain(t, 0, named, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), 0, "app.example.com", "usage"},
	} {
		roots := x509.NewCertPool()
		roots.AddCert(c.chain[len(c.chain)-1])
		err := TLS{Roots: roots, Name: c.name, Depth: c.depth}.verify(tls.ConnectionState{PeerCertificates: c.chain[:len(c.chain)-1]})
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.problem != "" && (!errors.Is(err, errUntrusted) || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: got %v, want %q", c.what, err, c.problem)
		}
	}
}

func TestClientTLS(t *testing.T) {
	suites := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	c := clientTLS(Key{Protocol: H2, TLS: TLS{Min: tls.VersionTLS10, Max: tls.VersionTLS12, Suites: Suites(suites)}})
	if !slices.Equal(c.CipherSuites, suites) || c.MinVersion != tls.VersionTLS10 || c.MaxVersion != tls.VersionTLS12 || c.NextProtos[0] != "h2" {
		t.Errorf("got %+v", c)
	}
	if c = clientTLS(Key{Protocol: HTTP1TLS}); c.CipherSuites != nil || c.MinVersion != tls.VersionTLS12 || c.VerifyConnection != nil || c.GetClientCertificate != nil {
		t.Errorf("the zero TLS: %+v", c)
	}
}
