//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// What ACME does the same with and without a cluster is tested without one: the
// certificates are in a folder.

// newACMEFolder is a scene with a backend, and an Ingress for each host that
// asks for a certificate.
func newACMEFolder(t *testing.T, hosts ...string) *scene {
	t.Helper()
	s := folderScene(t)
	s.acme = t.TempDir()
	s.backend("web")
	s.asksACME(hosts...)
	return s
}

// asksACME applies an Ingress for each host.
func (s *scene) asksACME(hosts ...string) {
	s.t.Helper()
	for _, host := range hosts {
		name := strings.Trim(unfit.ReplaceAllString(host, "-"), "-")
		s.ingress(name, fmt.Sprintf(`
tls: [{hosts: [%[1]q], secretName: %[2]s}]
rules: [{host: %[1]q, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`, host, name), `usher.dev/acme: "true"`)
	}
}

// leaf is the certificate that a host is served under, once the CA's root
// verifies it.
func (u *usher) leaf(p *pebble, host string) (*tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", u.address+":443", &tls.Config{ServerName: host, RootCAs: p.trusted()})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	return &state, nil
}

// awaitLeaf waits for a certificate of the CA, other than the one given.
func (u *usher) awaitLeaf(p *pebble, host string, other *tls.ConnectionState) (state *tls.ConnectionState) {
	u.t.Helper()
	await(u.t, func() (err error) {
		if state, err = u.leaf(p, host); err == nil && other != nil && serial(state) == serial(other) {
			return fmt.Errorf("%s still has the certificate %s", host, serial(state))
		}
		return err
	})
	return state
}

func serial(state *tls.ConnectionState) string {
	return state.PeerCertificates[0].SerialNumber.Text(16)
}

// diagnoses waits for a diagnostic.
func (u *usher) diagnoses(parts ...string) {
	u.t.Helper()
	await(u.t, func() error {
		shown := read(u.t, u.admin+"/debug/diagnostics")
		for _, part := range parts {
			if !strings.Contains(shown, part) {
				return fmt.Errorf("/debug/diagnostics shows, without %q,\n%s", part, shown)
			}
		}
		return nil
	})
}

// TestACMEWildcard: DNS-01 proves a wildcard, and nothing else; the record is
// removed afterwards.
func TestACMEWildcard(t *testing.T) {
	s := newACMEFolder(t, "*.wild.example")
	z := newZone(t, "wild.example")
	p := newPebble(t, pebbleOptions{dns: z.address})
	u := s.usher(append(p.flags(), z.flags()...)...)
	if names := u.awaitLeaf(p, "any.wild.example", nil).PeerCertificates[0].DNSNames; !slices.Equal(names, []string{"*.wild.example"}) {
		t.Errorf("the certificate is for %v", names)
	}
	client := u.newClient(&tls.Config{RootCAs: p.trusted()})
	await(t, func() error { return answers(client, "https://any.wild.example/", "web") })
	await(t, func() error {
		if seen := z.seen(); !slices.Equal(seen, []string{"+ _acme-challenge.wild.example.", "- _acme-challenge.wild.example."}) {
			return fmt.Errorf("changes of the zone: %q", seen)
		}
		return nil
	})
}

// TestACMERenewal: a certificate that lives for seconds is renewed when its end
// is near, without a restart, and no request fails. The CA is told which one is
// replaced (RFC 9773). Pebble suggests a time up to a day after this one's end,
// so that certmagic waits until a twentieth of the life is left.
func TestACMERenewal(t *testing.T) {
	s := newACMEFolder(t, "renewed.example")
	p := newPebble(t, pebbleOptions{lifetime: 20})
	p.resolve("renewed.example", 1)
	u := s.usher(p.flags()...)
	old := u.awaitLeaf(p, "renewed.example", nil)
	client := u.newClient(&tls.Config{RootCAs: p.trusted()})
	await(t, func() error { return answers(client, "https://renewed.example/", "web") })
	l := u.load("https://renewed.example/")
	u.awaitLeaf(p, "renewed.example", old)
	l.more(t, 50)
	l.finish(t)
	if !strings.Contains(p.process.Log(), "ARI: order ") {
		t.Errorf("the order does not say which certificate it replaces\n%s", p.process.Tail(40))
	}
}

// TestACMERenewalInformation: the CA says that a certificate is to be renewed
// now (RFC 9773), long before it expires.
func TestACMERenewalInformation(t *testing.T) {
	s := newACMEFolder(t, "ari.example")
	p := newPebble(t, pebbleOptions{})
	p.resolve("ari.example", 1)
	u := s.start(p.flags()...)
	old := u.awaitLeaf(p, "ari.example", nil)
	if err := u.stop(); err != nil {
		t.Fatal(err)
	}
	p.renewNow(old)
	s.forgetRenewalInformation("ari.example")
	p.resolve("ari.example", 1)
	u = s.usher(p.flags()...)
	u.awaitLeaf(p, "ari.example", old)
}

// forgetRenewalInformation makes what the CA said about a stored certificate
// due to be asked again, which is otherwise hours later.
func (s *scene) forgetRenewalInformation(host string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.acme, "certificates", "*", host, host+".json"))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("stored: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		s.t.Fatal(err)
	}
	var stored map[string]any
	if err := json.Unmarshal(text, &stored); err != nil {
		s.t.Fatal(err)
	}
	information, ok := stored["issuer_data"].(map[string]any)["renewal_info"].(map[string]any)
	if !ok {
		s.t.Fatalf("nothing of ARI is stored: %s", text)
	}
	information["_retryAfter"] = time.Now().Add(-time.Hour)
	if text, err = json.Marshal(stored); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// TestACMERevocation: what OCSP says about a certificate is stapled, and one
// that was revoked is replaced.
func TestACMERevocation(t *testing.T) {
	s := newACMEFolder(t, "ocsp.example")
	r := newResponder(t)
	p := newPebble(t, pebbleOptions{ocsp: r.url})
	r.ca.Store(p)
	p.resolve("ocsp.example", 1)
	u := s.start(p.flags()...)
	old := u.awaitLeaf(p, "ocsp.example", nil)
	if staple, err := ocsp.ParseResponse(old.OCSPResponse, old.PeerCertificates[1]); err != nil || staple.Status != ocsp.Good {
		t.Errorf("stapled: %v, %v", staple, err)
	}
	if err := u.stop(); err != nil {
		t.Fatal(err)
	}
	r.status.Store(ocsp.Revoked)
	time.Sleep(time.Until(r.fresh())) // a staple that is fresh is not asked for again
	p.resolve("ocsp.example", 1)
	u = s.usher(p.flags()...)
	r.status.Store(ocsp.Revoked)
	await(t, func() error {
		if r.asked.Load() < 2 {
			return fmt.Errorf("the responder was asked %d times", r.asked.Load())
		}
		r.status.Store(ocsp.Good) // for the next certificate
		return nil
	})
	u.awaitLeaf(p, "ocsp.example", old)
}

// TestACMEAccount: a CA that wants an external account binding gets it, and its
// refusal is shown where there is none.
func TestACMEAccount(t *testing.T) {
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	file := filepath.Join(t.TempDir(), "eab.key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPebble(t, pebbleOptions{accounts: map[string]string{"kid-1": key}})
	stranger := newACMEFolder(t, "eab.example").usher(p.flags()...)
	stranger.diagnoses("certificate-pending", "externalAccountRequired")

	p.resolve("eab.example", 1)
	u := newACMEFolder(t, "eab.example").usher(append(p.flags(), "--acme-eab-kid", "kid-1", "--acme-eab-key-file", file)...)
	u.awaitLeaf(p, "eab.example", nil)
}

// TestACMEFallback: a second CA gives the certificate when the first is down.
func TestACMEFallback(t *testing.T) {
	s := newACMEFolder(t, "fallback.example")
	p := newPebble(t, pebbleOptions{})
	flags := append(p.flags(), "--acme-ca", "https://127.0.0.1:9/dir", "--acme-fallback-ca", p.directory())
	p.resolve("fallback.example", 1)
	u := s.usher(flags...)
	u.awaitLeaf(p, "fallback.example", nil)
	u.expect("https://fallback.example/", "web")
}

// TestACMEDown: while the CA is down requests are served all the same, the page
// says why there is no certificate, and when the CA is back there is one.
func TestACMEDown(t *testing.T) {
	s := newACMEFolder(t, "down.example")
	p := newPebble(t, pebbleOptions{})
	p.process.Kill()
	p.resolve("down.example", 1)
	u := s.usher(p.flags()...)
	u.diagnoses("certificate-pending", "down.example", "connection refused")
	u.expect("https://down.example/", "web")
	p.start()
	awaitFor(t, 4*patience, func() error { // certmagic tries again after a minute
		_, err := u.leaf(p, "down.example")
		return err
	})
}

// TestACMERemembers: who restarts with the same folder orders nothing anew, and
// is ready only with its certificate.
func TestACMERemembers(t *testing.T) {
	s := newACMEFolder(t, "kept.example")
	p := newPebble(t, pebbleOptions{})
	p.resolve("kept.example", 1)
	u := s.start(p.flags()...)
	old := u.awaitLeaf(p, "kept.example", nil)
	if err := u.stop(); err != nil {
		t.Fatal(err)
	}
	u = s.usher(p.flags()...)
	if state, err := u.leaf(p, "kept.example"); err != nil || serial(state) != serial(old) {
		t.Errorf("ready, and serves another certificate: %v", err)
	}
	if shown := read(t, u.admin+"/debug/explain?url=https://kept.example/"); !strings.Contains(shown, "acme/Pebble") {
		t.Errorf("/debug/explain shows\n%s", shown)
	}
	if n := p.issued(); n != 1 {
		t.Errorf("the CA issued %d certificates, want 1", n)
	}
}

// TestACMEForeign: names that no Ingress has are not answered for, whoever asks.
func TestACMEForeign(t *testing.T) {
	s := newACMEFolder(t, "mine.example")
	p := newPebble(t, pebbleOptions{})
	p.resolve("mine.example", 1)
	u := s.usher(p.flags()...)
	u.awaitLeaf(p, "mine.example", nil)
	if conn, err := tls.Dial("tcp", u.address+":443", &tls.Config{ServerName: "other.example", InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}); err == nil {
		conn.Close()
		t.Error("a challenge for a name that nobody has was answered")
	}
	a, err := u.get("http://mine.example/.well-known/acme-challenge/unknown")
	if err != nil || a.StatusCode != http.StatusOK || a.echo.Backend != "web" {
		t.Errorf("a challenge of somebody else's client gets %v, %v; want it forwarded", a, err)
	}
	if orders := strings.Count(p.process.Log(), "Added order "); orders != 1 {
		t.Errorf("%d orders, want 1", orders)
	}
}
