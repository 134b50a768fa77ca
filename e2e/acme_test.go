//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// newACMEScene is a scene in which Usher may keep certificates, with a backend.
func newACMEScene(t *testing.T, further ...cluster.Grant) *scene {
	t.Helper()
	s := emptyScene(t)
	s.account(append(further,
		cluster.Grant{File: shipped + "clusterrole.yaml"},
		cluster.Grant{File: shipped + "role-leader-election.yaml", Namespace: s.system},
		cluster.Grant{File: shipped + "role-session-tickets.yaml", Namespace: s.system},
		cluster.Grant{File: shipped + "role-acme.yaml", Namespace: s.system})...)
	s.backend("web")
	return s
}

// TestACMEChallenges has a CA that reaches only port 80, and one that reaches only port 443; either is enough.
func TestACMEChallenges(t *testing.T) {
	const closed = 9
	s := newACMEScene(t)
	s.asksACME("challenge.example")
	for name, o := range map[string]pebbleOptions{
		"HTTP-01":     {tlsPort: closed, environment: []string{"PEBBLE_WFE_NONCEREJECT=20"}},
		"TLS-ALPN-01": {httpPort: closed},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPebble(t, o)
			p.resolve("challenge.example", 1)
			u := s.start(p.flags()...)
			defer func() { _ = u.stop() }()
			client := u.newClient(&tls.Config{RootCAs: p.trusted()})
			await(t, func() error { return answers(client, "https://challenge.example/", "web") })
			if shown := read(t, u.admin+"/debug/certificates"); !strings.Contains(shown, "acme/") || !strings.Contains(shown, "challenge.example") {
				t.Errorf("/debug/certificates shows\n%s", shown)
			}
			u.isPermitted()
		})
	}
}

// TestACMETwoReplicas: one order, whichever replica the CA asks, and both serve the certificate.
func TestACMETwoReplicas(t *testing.T) {
	s := newACMEScene(t)
	s.asksACME("pair.example")
	p := newPebble(t, pebbleOptions{})
	p.resolve("pair.example", 2)
	a, b := s.usher(p.flags()...), s.usher(p.flags()...)
	for _, u := range []*usher{a, b} {
		client := u.newClient(&tls.Config{RootCAs: p.trusted()})
		await(t, func() error { return answers(client, "https://pair.example/", "web") })
	}
	if n := p.issued(); n != 1 {
		t.Errorf("the CA issued %d certificates, want 1\n%s", n, p.process.Tail(40))
	}
}

// TestACMERefused: nothing waits for a certificate that does not come, and the page says why.
func TestACMERefused(t *testing.T) {
	s := newACMEScene(t)
	s.asksACME("refused.example")
	p := newPebble(t, pebbleOptions{refused: []string{"refused.example"}})
	u := s.start(p.flags()...)
	defer func() { _ = u.stop() }()
	await(t, func() error {
		if shown := read(t, u.admin+"/debug/diagnostics"); !strings.Contains(shown, "certificate-pending") || !strings.Contains(shown, "rejectedIdentifier") {
			return fmt.Errorf("/debug/diagnostics shows\n%s", shown)
		}
		return nil
	})
	u.expect("https://refused.example/", "web")
}

func read(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
