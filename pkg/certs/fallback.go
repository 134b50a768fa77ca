package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// FallbackName is the common name of the self-signed certificate, for whoever looks at it in a browser and wonders.
const FallbackName = "Usher Self-Signed Fallback Certificate"

// fallbackReason is the organisation of the self-signed certificate. At most 64 characters (RFC 5280 appendix A.1).
const fallbackReason = "No TLS Secret covers this host; no default certificate is set"

// fallbackLife is a little over a year: longer ones are refused by some clients even after a click on "proceed".
const fallbackLife = 397 * 24 * time.Hour

// selfSigned makes the certificate of step 4, with a key that lives and dies with the process.
func selfSigned(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of the fallback certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("serial of the fallback certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: FallbackName, Organization: []string{fallbackReason}},
		DNSNames:              []string{"fallback.usher.invalid"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(fallbackLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("fallback certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("fallback certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
