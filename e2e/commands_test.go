//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "lint.example", "/", "web")
	s.route("broken", "lint.example", "/broken", "missing")
	lint := func(flags ...string) (int, string) {
		t.Helper()
		return s.run(append([]string{"lint", "--kubeconfig", s.kubeconfig, "--ingress-class", s.class, "--controller-class", "usher.dev/" + s.class}, flags...)...)
	}
	if status, said := lint(); status != 1 || !strings.Contains(said, s.namespace+"/broken") || !strings.Contains(said, "missing") {
		t.Errorf("status %d, want 1 and the broken Ingress named:\n%s", status, said)
	}
	if status, said := lint("-o", "json"); status != 1 || !json.Valid([]byte(said)) || !strings.Contains(said, "no-service") {
		t.Errorf("status %d, want 1 and JSON with the reason:\n%s", status, said)
	}
	s.backend("missing")
	if status, said := lint(); status != 0 {
		t.Errorf("status %d, want 0 once the Service exists:\n%s", status, said)
	}
}

func TestExplain(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "explain.example", "/", "web")
	s.route("broken", "explain.example", "/broken", "missing")
	u := s.usher()
	u.expect("http://explain.example/", "web")
	cluster := []string{"--kubeconfig", s.kubeconfig, "--ingress-class", s.class, "--controller-class", "usher.dev/" + s.class}
	for source, flags := range map[string][]string{"cluster": cluster, "running": {"--admin", u.admin}} {
		t.Run(source, func(t *testing.T) {
			for url, wants := range map[string][]string{
				"http://explain.example/some/page": {s.namespace + "/web", "10.244.", "8080"},
				"http://explain.example/broken":    {"503", "no-service", "missing"},
				"http://explained.example/":        {"404", "no-host"},
			} {
				_, said := s.run(append(append([]string{"explain"}, flags...), url)...)
				for _, want := range wants {
					if !strings.Contains(said, want) {
						t.Errorf("%s: want %q in\n%s", url, want, said)
					}
				}
			}
		})
	}
}
