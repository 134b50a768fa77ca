package certs

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"runtime"
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

// TestLargeClientChainsTakeNoMemory: 600 handshakes with certificates of 200 kB, no two alike, and others with what is just taken, leave
// nothing behind.
func TestLargeClientChainsTakeNoMemory(t *testing.T) {
	table := sites(t, nil)
	asks := route.NewCertificateRequest([]*route.ClientCAs{route.NewClientCAs(policy.Ref{}, nil, nil)})
	table.Hosts = route.NewHosts([]*route.Host{{Name: "a.example.com", TLS: true, Asks: asks}})
	address := listen(t, newSelector(t, serving(table), nil))
	const most = 8 << 20
	before := liveHeap()
	for size, handshakes := range map[int]int{200_000: 600, 30_000: 150} {
		chain := clientChain(t, 1, size)
		leaf := chain.Certificate[0]
		for n := range handshakes {
			binary.BigEndian.PutUint32(leaf[len(leaf)/2:], uint32(n)) // within the extension
			if err := showChain(address, tls.VersionTLS13, chain); size > mostChain && err == nil {
				t.Fatal("200 kB of certificates were taken")
			}
		}
	}
	if grown := int64(liveHeap()) - int64(before); grown > most {
		t.Errorf("they left %d KiB, want at most %d", grown>>10, most>>10)
	}
}

// liveHeap is how many bytes are in use after everything else was collected.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
