//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// labelled applies an Ingress with labels.
func (s *scene) labelled(name, labels string) {
	s.t.Helper()
	s.apply(fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, labels: {%[2]s}}
spec:
  ingressClassName: $class
  rules: [{host: %[1]s.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]`, name, labels))
}

// TestIngressSelector: with a cluster and with a folder, Ingresses whose labels do not match are not there; a label that changes
// brings one in or takes it out.
func TestIngressSelector(t *testing.T) {
	for name, makeScene := range map[string]func(*testing.T) *scene{"cluster": func(t *testing.T) *scene { return newScene(t) }, "folder": folderScene} {
		t.Run(name, func(t *testing.T) {
			s := makeScene(t)
			s.backend("web")
			s.labelled("mine", "team: shop")
			s.labelled("internal", "team: shop, tier: internal")
			s.labelled("bare", "")
			u := s.usher("--ingress-selector", "team=shop,tier!=internal")
			u.expect("http://mine.example/", "web")
			for _, other := range []string{"internal", "bare"} {
				if status := u.askOnce(other + ".example"); status != 404 {
					t.Errorf("%s: %d, want 404", other, status)
				}
			}
			s.labelled("bare", "team: shop")
			u.expect("http://bare.example/", "web")
			s.labelled("mine", "team: other")
			await(t, func() error {
				if status := u.askOnce("mine.example"); status != 404 {
					return fmt.Errorf("%d, want 404", status)
				}
				return nil
			})
			_, out, problems := s.run(append(append([]string{"lint"}, s.flags()...), "--ingress-selector", "team=none")...)
			if strings.Contains(out+problems, "bare") {
				t.Errorf("usher lint speaks of an Ingress that is not selected:\n%s%s", out, problems)
			}
		})
	}
}
