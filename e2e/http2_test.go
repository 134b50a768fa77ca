//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// h2spec is the HTTP/2 conformance suite, which buildH2spec builds from the module h2spec beside this package: before the tests, which run
// where there is no network to fetch it from.
const h2spec = "../bin/h2spec"

func buildH2spec() error {
	build := exec.Command("go", "build", "-C", "h2spec", "-o", "../"+h2spec, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building h2spec: %w", err)
	}
	return nil
}

// TestHTTP2Conformance runs every case of h2spec, the strict ones too, against the whole of Usher: over TLS, and in the clear with --h2c.
func TestHTTP2Conformance(t *testing.T) {
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
			out, _ := exec.Command(h2spec, append([]string{"-h", u.address, "--strict", "-o", "10"}, strings.Fields(c.flags)...)...).CombinedOutput()
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
