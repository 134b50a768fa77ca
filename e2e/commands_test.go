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
		status, said, problems := s.run(append(append([]string{"lint"}, s.flags()...), flags...)...)
		if status > 1 {
			t.Error(problems)
		}
		return status, said
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
	for source, flags := range map[string][]string{"cluster": s.flags(), "running": {"--admin", u.admin}} {
		t.Run(source, func(t *testing.T) {
			for _, c := range []struct {
				url    string
				status int
				says   []string
			}{
				{"http://explain.example/some/page", 0, []string{s.namespace + "/web", "10.244.", "8080"}},
				{"http://explain.example/broken", 1, []string{"503", "no-service", "missing"}},
				{"http://explained.example/", 1, []string{"404", "no-host"}},
			} {
				status, said, problems := s.run(append(append([]string{"explain"}, flags...), c.url)...)
				if status != c.status {
					t.Errorf("%s: status %d, want %d: %s", c.url, status, c.status, problems)
				}
				for _, want := range c.says {
					if !strings.Contains(said, want) {
						t.Errorf("%s: want %q in\n%s", c.url, want, said)
					}
				}
			}
		})
	}
}

// flags let a command read the cluster as the scene's Usher does.
func (s *scene) flags() []string {
	return []string{"--kubeconfig", s.kubeconfig, "--ingress-class", s.class, "--controller-class", "usher.dev/" + s.class}
}
