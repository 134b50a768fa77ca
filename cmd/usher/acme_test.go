package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestInternalCA: an Ingress that asks is served under a certificate of the CA that the admin port shows, from the first moment of
// being ready at a restart, and whoever asks why is told.
func TestInternalCA(t *testing.T) {
	folder, storage := t.TempDir(), t.TempDir()
	text := strings.ReplaceAll(site("web", backend(t, says("one"))), "annotations: {}", `annotations: {usher.dev/acme: "true"}`)
	write(t, folder, "all.yaml", strings.ReplaceAll(text, "  rules: [", "  tls: [{hosts: [site.test], secretName: site}]\n  rules: ["))
	for _, restarted := range []bool{false, true} {
		p := serve(t, "--manifests", folder, "--acme-ca", "internal", "--acme-storage", storage)
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(p.shown("/debug/ca"))) {
			t.Fatalf("/debug/ca shows %s", p.shown("/debug/ca"))
		}
		trusts := func() error {
			c, err := tls.Dial("tcp", p.https, &tls.Config{ServerName: "site.test", RootCAs: roots}) //nolint:gosec // its version is the default
			if err == nil {
				_ = c.Close()
			}
			return err
		}
		if restarted {
			p.eventually("readiness", func() bool { return strings.HasPrefix(p.shown("/readyz"), "ready") })
			if err := trusts(); err != nil {
				t.Errorf("ready, and serves another certificate: %v", err)
			}
		}
		p.eventually("the certificate", func() bool { return trusts() == nil })
		if shown := p.shown("/debug/certificates"); !strings.Contains(shown, "acme/Usher's internal CA") {
			t.Errorf("/debug/certificates shows %s", shown)
		}
		if shown := p.shown("/debug/explain?url=https://site.test/"); !strings.Contains(shown, "acme/Usher's internal CA") {
			t.Errorf("/debug/explain shows %s", shown)
		}
		p.signal()
		if code := p.wait(); code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestACMENames: a list that cannot be meant is refused.
func TestACMENames(t *testing.T) {
	for _, bad := range []string{"", "[a.example.com", "https://a.example.com", "a b", "."} {
		set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		f := &acmeFlags{}
		f.register(set)
		if err := set.Parse([]string{"--acme-ca=internal", "--acme-names=" + bad}); err != nil {
			t.Fatal(err)
		}
		if err := f.check(); err == nil || !strings.Contains(err.Error(), "--acme-names") || !strings.Contains(err.Error(), "*.example.com") {
			t.Errorf("%q gives %v, want an error that names the flag and what it wants", bad, err)
		}
	}
}

// shown is what a page of the admin port says.
func (p *process) shown(path string) string {
	p.t.Helper()
	answer, err := http.Get("http://" + p.admin + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}
