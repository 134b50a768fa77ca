package certs

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// TestLargeClientChainsAreRefused: a client shows at most 32 KiB of certificates, in one or in many.
func TestLargeClientChainsAreRefused(t *testing.T) {
	table := sites(t, nil)
	asks := route.NewCertificateRequest([]*route.ClientCAs{route.NewClientCAs(policy.Ref{}, nil, nil)})
	table.Hosts = route.NewHosts([]*route.Host{{Name: "a.example.com", TLS: true, Asks: asks}})
	address := listen(t, newSelector(t, serving(table), nil))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, c := range map[string]struct {
			chain tls.Certificate
			taken bool
		}{
			"small": {clientChain(t, 1, 1000), true}, "below": {clientChain(t, 3, 10_000), true},
			"one large": {clientChain(t, 1, 33_000), false}, "many": {clientChain(t, 40, 1000), false},
		} {
			err := showChain(address, version, c.chain)
			if c.taken && err != nil || !c.taken && (err == nil || !strings.Contains(err.Error(), "bad certificate")) {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
			}
		}
	}
}

// clientChain is n copies of a certificate with an extension of some bytes.
func clientChain(t *testing.T, n, extra int) (chain tls.Certificate) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: expired(), NotAfter: valid(),
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, extra)}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rsaKey().Public(), rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		chain.Certificate = append(chain.Certificate, der)
	}
	chain.PrivateKey = rsaKey()
	return chain
}

// showChain makes a connection and says why the server did not want it.
func showChain(address string, version uint16, chain tls.Certificate) error {
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: "a.example.com", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &chain, nil }})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && strings.Contains(err.Error(), "remote error") {
		return err
	}
	return nil
}
