package certs

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// newTestIssuer has a CA that refuses everything, and storage in a folder.
func newTestIssuer(t *testing.T, table *route.Table) *Issuer {
	t.Helper()
	ca := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(ca.Close)
	live := &route.Live{}
	live.Swap(table)
	i, err := NewIssuer(ACMEOptions{Tables: live, Storage: &certmagic.FileStorage{Path: t.TempDir()}, CAs: []string{ca.URL + "/dir"}, Email: "admin@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.cache.Stop)
	return i
}

// TestIssuerAsksOnlyItsCAs: certmagic brings a CA of its own, which is not to be asked.
func TestIssuerAsksOnlyItsCAs(t *testing.T) {
	i := newTestIssuer(t, &route.Table{})
	if len(i.plain.Issuers) != 1 || strings.Contains(i.plain.Issuers[0].IssuerKey(), "letsencrypt") {
		t.Errorf("%d CAs, the first %s; want the one that was given", len(i.plain.Issuers), i.plain.Issuers[0].IssuerKey())
	}
}

// TestIssuerAnswersOnlyForItsNames: nobody makes Usher read the storage by asking for other names.
func TestIssuerAnswersOnlyForItsNames(t *testing.T) {
	table := &route.Table{ACME: []route.ACMEName{{Name: "*.wild.example", Origin: policy.Origin{Field: "spec.tls[0]"}}}}
	i := newTestIssuer(t, table)
	i.manage(table.ACME)
	i.refresh()
	hello := func(name string, protocols ...string) *tls.ClientHelloInfo {
		return &tls.ClientHelloInfo{ServerName: name, SupportedProtos: protocols}
	}
	if i.challenge(hello("other.example", "acme-tls/1")) != nil || i.challenge(hello("*.wild.example", "h2", "acme-tls/1")) != nil {
		t.Error("a handshake that is no challenge of its own was taken for one")
	}
	if i.challenge(hello("*.wild.example", "acme-tls/1")) == nil {
		t.Error("a challenge for a name of the table was not taken")
	}
	passed := false
	h := i.Answer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://other.example/.well-known/acme-challenge/x", nil))
	if !passed {
		t.Error("the challenge of somebody else's client did not reach the routes")
	}
	d := i.Load().Diagnostics
	if len(d) != 1 || d[0].Reason != policy.CertificatePending || !strings.Contains(d[0].Message, "DNS-01") {
		t.Errorf("a wildcard gives %+v", d)
	}
	i.manage(nil)
	i.refresh()
	if d := i.Load().Diagnostics; len(d) != 0 {
		t.Errorf("a name that left the table gives %+v", d)
	}
}
