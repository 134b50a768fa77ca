package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

// ecdsaKey and rsaKey are shared, since making keys is what is slow about certificates.
var (
	ecdsaKey = sync.OnceValue(func() crypto.Signer {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
	rsaKey = sync.OnceValue(func() crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
)

// certificate makes a self-signed one for name, valid until then.
func certificate(t testing.TB, key crypto.Signer, name string, until time.Time) *route.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &route.Certificate{
		Names: []string{name}, NotFrom: template.NotBefore, Until: until,
		TLS: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
	}
}

func valid() time.Time   { return time.Now().Add(24 * time.Hour) }
func expired() time.Time { return time.Now().Add(-24 * time.Hour) }

// shop is the set most tests use: an exact name, a wildcard, no default.
type shop struct {
	exact, wildcard, standard *route.Certificate
	set                       *route.Certificates
}

func newShop(t testing.TB) shop {
	s := shop{
		exact:    certificate(t, ecdsaKey(), "shop.example.com", valid()),
		wildcard: certificate(t, ecdsaKey(), "*.example.com", valid()),
		standard: certificate(t, ecdsaKey(), "default.example.org", valid()),
		set:      &route.Certificates{},
	}
	s.set.Add("shop.example.com", s.exact)
	s.set.Add("*.example.com", s.wildcard)
	return s
}

func TestOrder(t *testing.T) {
	s := newShop(t)
	cases := []struct {
		name   string
		want   *route.Certificate
		source Source
	}{
		{"shop.example.com", s.exact, Named},
		{"SHOP.Example.COM", s.exact, Named},
		{"shop.example.com.", s.exact, Named},
		{"blog.example.com", s.wildcard, Named},
		{"Blog.example.com.", s.wildcard, Named},
		{"a.blog.example.com", s.standard, Default},
		{"example.com", s.standard, Default},
		{"", s.standard, Default},
		{".", s.standard, Default},
		{"com", s.standard, Default},
		{strings.Repeat("a", 250) + ".example.com", s.standard, Default},
		{"192.0.2.1", s.standard, Default},
	}
	s.set.Default = s.standard
	for _, c := range cases {
		got, source := choose(s.set, c.name, route.Client{Now: time.Now()})
		if got != c.want || source != c.source {
			t.Errorf("%q: got %v from %s, want %v from %s", c.name, names(got), source, names(c.want), c.source)
		}
	}
}

func TestFallback(t *testing.T) {
	s := newShop(t)
	for _, set := range []*route.Certificates{nil, {}, s.set} {
		if got, source := choose(set, "nobody.example.org", route.Client{Now: time.Now()}); got != nil || source != Fallback {
			t.Errorf("got %v from %s, want the fallback", names(got), source)
		}
	}
}

func TestExpired(t *testing.T) {
	stale := certificate(t, ecdsaKey(), "shop.example.com", expired())
	fresh := certificate(t, rsaKey(), "shop.example.com", valid())
	wildcard := certificate(t, ecdsaKey(), "*.example.com", valid())
	early := certificate(t, ecdsaKey(), "shop.example.com", valid())
	early.NotFrom = time.Now().Add(time.Hour)
	cases := []struct {
		about string
		exact []*route.Certificate
		wild  *route.Certificate
		want  *route.Certificate
	}{
		{"alone, it is served", []*route.Certificate{stale}, nil, stale},
		{"a valid one for the name goes first", []*route.Certificate{stale, fresh}, nil, fresh},
		{"so does a valid wildcard", []*route.Certificate{stale}, wildcard, wildcard},
		{"but not before a valid exact one", []*route.Certificate{stale, fresh}, wildcard, fresh},
		{"one that is not valid yet is no better", []*route.Certificate{early}, wildcard, wildcard},
	}
	for _, c := range cases {
		set := &route.Certificates{Default: certificate(t, ecdsaKey(), "other.example.org", valid())}
		for _, exact := range c.exact {
			set.Add("shop.example.com", exact)
		}
		if c.wild != nil {
			set.Add("*.example.com", c.wild)
		}
		if got, source := choose(set, "shop.example.com", route.Client{Now: time.Now()}); got != c.want || source != Named {
			t.Errorf("%s: got %v until %v from %s", c.about, names(got), got.Until, source)
		}
	}
}

func names(c *route.Certificate) []string {
	if c == nil {
		return nil
	}
	return c.Names
}

func TestFallbackSaysWhy(t *testing.T) {
	c, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	subject := c.Leaf.Subject
	if subject.CommonName != FallbackName || len(subject.Organization) != 1 || len(subject.Organization[0]) > 64 {
		t.Errorf("subject %v", subject)
	}
	if key, ok := c.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key %T", c.PrivateKey)
	}
	if life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore); life > 398*24*time.Hour {
		t.Errorf("life %v is longer than clients accept", life)
	}
}

// table10k holds 10,000 certificates, every tenth a wildcard.
func table10k(t testing.TB) *route.Live {
	shared := certificate(t, ecdsaKey(), "shared.example.com", valid())
	set := &route.Certificates{}
	for i := range 10_000 {
		c := *shared
		name := fmt.Sprintf("host%d.example.com", i)
		if i%10 == 0 {
			name = fmt.Sprintf("*.zone%d.example.com", i)
		}
		set.Add(name, &c)
	}
	live := &route.Live{}
	live.Swap(&route.Table{Certificates: set})
	return live
}

func TestLookupDoesNotAllocate(t *testing.T) {
	selector, err := New(table10k(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host1.example.com", "HOST1.Example.com", "a.zone10.example.com", "host1.example.com.", "unknown.example.net", ""} {
		hello := &tls.ClientHelloInfo{ServerName: name}
		if n := testing.AllocsPerRun(100, func() { _, _ = selector.GetCertificate(hello) }); n != 0 {
			t.Errorf("%q: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = selector.configFor(hello) }); n != 0 {
			t.Errorf("%q: %v allocations for its settings", name, n)
		}
	}
}

func BenchmarkGetCertificate(b *testing.B) {
	selector, err := New(table10k(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"host4321.example.com", "HOST4321.Example.Com", "shop.zone4320.example.com", "unknown.example.net"} {
		b.Run(name, func(b *testing.B) {
			hello := &tls.ClientHelloInfo{ServerName: name}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = selector.GetCertificate(hello)
			}
		})
	}
}
