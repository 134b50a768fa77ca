package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"runtime"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

const manyCertificates = 10_000

// manyTable has 10,000 certificates, each for a name of its own.
func manyTable(tb testing.TB) *route.Table {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	set := &route.Certificates{}
	for n := range manyCertificates {
		name := fmt.Sprintf("shop-%d.example.com", n)
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(n + 1)), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			tb.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			tb.Fatal(err)
		}
		set.Add(name, &route.Certificate{Names: leaf.DNSNames, TLS: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, NotFrom: leaf.NotBefore, Until: leaf.NotAfter})
	}
	return &route.Table{Certificates: set}
}

// BenchmarkManyCertificates is the choice for a handshake among 10,000 certificates, and what their table takes.
func BenchmarkManyCertificates(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	live := &route.Live{}
	live.Swap(manyTable(b))
	runtime.GC()
	runtime.ReadMemStats(&after)
	s, err := New(live, nil)
	if err != nil {
		b.Fatal(err)
	}
	hello := &tls.ClientHelloInfo{}
	names := make([]string, 1024)
	for n := range names {
		names[n] = fmt.Sprintf("shop-%d.example.com", n*9)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		hello.ServerName = names[n%len(names)]
		n++
		if c, err := s.GetCertificate(hello); err != nil || c == s.fallback {
			b.Fatalf("%s gets the fallback, %v", hello.ServerName, err)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/manyCertificates, "table-B/certificate")
}

// TestManyCertificatesCostNoAllocation: a handshake's choice leaves nothing to collect.
func TestManyCertificatesCostNoAllocation(t *testing.T) {
	live := &route.Live{}
	live.Swap(manyTable(t))
	s, err := New(live, nil)
	if err != nil {
		t.Fatal(err)
	}
	hello := &tls.ClientHelloInfo{ServerName: "shop-77.example.com"}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.GetCertificate(hello) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
