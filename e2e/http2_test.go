//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// buildH2spec builds the HTTP/2 conformance suite, from the module h2spec beside this package.
var buildH2spec = sync.OnceValues(func() (string, error) {
	program, err := filepath.Abs("../bin/h2spec")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-C", "h2spec", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building h2spec: %w\n%s", err, out)
	}
	return program, nil
})

// TestHTTP2Conformance runs every case of h2spec, the strict ones too, against the whole of Usher: over TLS, and in the clear with --h2c.
func TestHTTP2Conformance(t *testing.T) {
	program, err := buildH2spec()
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	s.backend("web")
	s.ingress("all", `rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]`,
		`nginx.ingress.kubernetes.io/ssl-redirect: "false"`)
	u := s.usher("--h2c")
	await(t, func() error { return answers(u.client, "http://any.example/", "web") })
	for _, c := range []struct {
		about, flags string
		failures     []string
	}{
		{"TLS", "-p 443 -t -k", nil},
		// Port 80 is HTTP/1.1's as well, so what does not begin with HTTP/2's preface is answered 400 in HTTP/1.1, and closed.
		{"in the clear", "-p 80", []string{"Sends invalid connection preface"}},
	} {
		t.Run(c.about, func(t *testing.T) {
			out, _ := exec.Command(program, append([]string{"-h", u.address, "--strict", "-o", "10"}, strings.Fields(c.flags)...)...).CombinedOutput()
			said := string(out)
			if want := fmt.Sprintf(" 0 skipped, %d failed", len(c.failures)); !strings.Contains(said, want) || strings.Contains(said, "\n0 tests") {
				t.Errorf("want%s:\n%s", want, said)
			}
			_, failures, _ := strings.Cut(said, "Failures:")
			for _, failure := range c.failures {
				if !strings.Contains(failures, failure) {
					t.Errorf("want %q to fail:\n%s", failure, failures)
				}
			}
		})
	}
}
