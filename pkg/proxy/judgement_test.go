package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// ownCertificates are n certificates that a client made for itself, each with an extension of some bytes.
func ownCertificates(t *testing.T, n, extra int) []*x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var all []*x509.Certificate
	for i := range n {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("client-%d-%s", i, strings.Repeat("x", 40))},
			NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0),
		}
		if extra > 0 {
			template.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, extra)}}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func wantsCertificate(forward bool) *route.ClientAuth {
	return &route.ClientAuth{CAs: route.NewClientCAs(policy.Ref{}, nil, nil), Policy: &policy.ClientCert{Depth: 1, Forward: forward}}
}

// TestJudgementsAreBounded: what is remembered of clients' certificates stays below the bound however large and many they are.
func TestJudgementsAreBounded(t *testing.T) {
	for _, forward := range []bool{false, true} {
		var j judgements
		auth := wantsCertificate(forward)
		for _, c := range ownCertificates(t, 60, 100_000) {
			j.of([]*x509.Certificate{c}, auth)
			total := 0
			for _, known := range j.entries {
				total += known.size()
			}
			if total > judgedMost || j.bytes != total || len(j.queue) != len(j.entries) {
				t.Fatalf("forward %v: %d bytes are remembered (%d counted), want at most %d", forward, total, j.bytes, judgedMost)
			}
		}
		if forward && len(j.entries) >= 60 || !forward && len(j.entries) != 60 {
			t.Errorf("forward %v: %d of 60 are remembered", forward, len(j.entries))
		}
	}
}

// TestJudgementsExpire: after a minute a certificate is judged anew, and what is old leaves memory.
func TestJudgementsExpire(t *testing.T) {
	all := ownCertificates(t, 2, 0)
	synctest.Test(t, func(t *testing.T) {
		var j judgements
		auth := wantsCertificate(false)
		first := j.of(all[:1], auth)
		if j.of(all[:1], auth) != first {
			t.Error("a certificate was judged twice within a minute")
		}
		if again, err := x509.ParseCertificate(all[0].Raw); err != nil || j.of([]*x509.Certificate{again}, auth) != first {
			t.Error("an equal certificate was judged again")
		}
		if j.of([]*x509.Certificate{all[0], all[1]}, auth) == first || j.of(all[1:], auth) == first {
			t.Error("another chain got the judgement of the first")
		}
		time.Sleep(judgedFor)
		if j.of(all[:1], auth) == first {
			t.Error("a judgement of a minute ago was used")
		}
		if len(j.entries) != 1 || len(j.queue) != 1 {
			t.Errorf("%d judgements are remembered, want the new one", len(j.entries))
		}
	})
}
