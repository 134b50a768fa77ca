//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/usher-ingress/usher/e2e/cluster"
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
	if s.folder != "" {
		return []string{"--manifests", s.folder, "--ingress-class", s.class, "--controller-class", "usher.dev/" + s.class, "--acme-storage", s.acme}
	}
	return []string{"--kubeconfig", s.kubeconfig, "--ingress-class", s.class, "--controller-class", "usher.dev/" + s.class}
}

// TestPodsAreExplained: a selector that matches no Pod, a probe that fails and a port that no container has are told from the Pods: by
// lint and explain, and as an Event with --explain-pods.
func TestPodsAreExplained(t *testing.T) {
	s := newScene(t, cluster.Grant{File: shipped + "clusterrole-pods.yaml"})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := s.client.CoreV1().ServiceAccounts(s.namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.pod("slow-0", "slow", `{containers: [{name: web, image: web, ports: [{name: http, containerPort: 8080}], readinessProbe: {httpGet: {path: /ready, port: 8080}}}]}`,
		`{phase: Running, containerStatuses: [{name: web, ready: false, state: {running: {}}, restartCount: 0, image: web, imageID: web}]}`)
	for name, spec := range map[string]string{
		"misspelt": `{selector: {app: slwo}, ports: [{port: 80}]}`,
		"slow":     `{selector: {app: slow}, ports: [{port: 80}]}`,
	} {
		s.apply(fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: %s}", name, spec))
		s.route(name, name+".example", "/", name)
	}
	u := s.usher("--explain-pods")
	for source, flags := range map[string][]string{"cluster": s.flags(), "running": {"--admin", u.admin}} {
		for url, says := range map[string][]string{
			"http://misspelt.example/": {"selector-matches-nothing", "app=slwo"},
			"http://slow.example/":     {"no-ready-endpoints", "slow-0", "readiness probe, GET http://:8080/ready"},
		} {
			await(t, func() error {
				_, said, problems := s.run(append(append([]string{"explain"}, flags...), url)...)
				for _, want := range says {
					if !strings.Contains(said, want) {
						return fmt.Errorf("%s: %s: want %q in\n%s%s", source, url, want, said, problems)
					}
				}
				return nil
			})
		}
	}
	await(t, func() error {
		for _, e := range s.events("misspelt") {
			if strings.Contains(e.Message, "matches no Pod") {
				return nil
			}
		}
		return fmt.Errorf("Events: %v", s.events("misspelt"))
	})
}

// pod makes a Pod with the label app, and its status.
func (s *scene) pod(name, app, spec, status string) {
	s.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}}}
	if err := errors.Join(yaml.Unmarshal([]byte(spec), &pod.Spec), yaml.Unmarshal([]byte(status), &pod.Status)); err != nil {
		s.t.Fatal(err)
	}
	pods := s.client.CoreV1().Pods(s.namespace)
	made, err := pods.Create(s.t.Context(), pod, metav1.CreateOptions{})
	if err == nil {
		made.Status = pod.Status
		_, err = pods.UpdateStatus(s.t.Context(), made, metav1.UpdateOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
