package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// buildUsher compiles cmd/usher, or takes the binary of -usher.
func buildUsher(ctx context.Context, s *site) (path, version string, err error) {
	path = s.usher
	if path == "" {
		if path, _, err = build(ctx, s, "usher", "./cmd/usher"); err != nil {
			return "", "", err
		}
	}
	version, err = usherVersion(ctx, path)
	return path, version, err
}

// findBefore is the binary of -before.
func findBefore(ctx context.Context, s *site) (path, version string, err error) {
	if s.before == "" {
		return "", "", nil
	}
	version, err = usherVersion(ctx, s.before)
	return s.before, version, err
}

func usherVersion(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", path, err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}

// setupUsher writes the manifests of the real hosts and of the many others: one Ingress, Service and EndpointSlice each, as a cluster
// would have them.
func setupUsher(c contender, s setting) (command, error) {
	dir := filepath.Join(s.Work, "manifests")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return command{}, err
	}
	if err := render("usher.yaml", filepath.Join(dir, "bench.yaml"), s); err != nil {
		return command{}, err
	}
	if err := render("usher-secret.yaml", filepath.Join(dir, "secret.yaml"), s); err != nil {
		return command{}, err
	}
	if err := writeOtherHosts(filepath.Join(dir, "others.yaml"), s.Hosts); err != nil {
		return command{}, err
	}
	args := []string{c.Path, "serve", "--manifests", dir, "--bind-address", "127.0.0.1", "--admin-address", "127.0.0.1",
		"--http-port", strconv.Itoa(s.HTTPPort), "--https-port", strconv.Itoa(s.HTTPSPort), "--admin-port", strconv.Itoa(s.Port),
		"--access-log=" + strconv.FormatBool(s.AccessLog), "--keep-alive-requests", "100000000",
		"--max-connections", "1000000", "--profiling"} // as the others, which are not told of a limit of open files; idle scenarios have 10,000
	return command{args: args, env: []string{"GOMAXPROCS=1"}}, nil
}

// writeOtherHosts makes the table large. Each host has a path of its own besides "/", and three endpoints, as real ones do.
func writeOtherHosts(file string, n int) error {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, otherHost, i)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// otherHost is JSON, which is YAML that is quick to read: the bench does not measure the start.
const otherHost = `---
{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"app-%[1]d","namespace":"others"},"spec":{"ingressClassName":"usher","rules":[{"host":"app-%[1]d.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"app-%[1]d","port":{"number":80}}}},{"path":"/api/v1","pathType":"Prefix","backend":{"service":{"name":"app-%[1]d","port":{"number":80}}}}]}}]}}
---
{"apiVersion":"v1","kind":"Service","metadata":{"name":"app-%[1]d","namespace":"others"},"spec":{"type":"ClusterIP","ports":[{"name":"http","port":80,"targetPort":8080,"protocol":"TCP"}]}}
---
{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"app-%[1]d-1","namespace":"others","labels":{"kubernetes.io/service-name":"app-%[1]d"}},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],"endpoints":[{"addresses":["127.0.1.1"],"conditions":{"ready":true}},{"addresses":["127.0.1.2"],"conditions":{"ready":true}},{"addresses":["127.0.1.3"],"conditions":{"ready":true}}]}
`

// CertPEM and KeyPEM are what the Secret holds; templates quote them.
func (s *site) CertPEM() (string, error) { return readText(s.Cert) }

// KeyPEM is the private key, see CertPEM.
func (s *site) KeyPEM() (string, error) { return readText(s.Key) }

func readText(file string) (string, error) {
	text, err := os.ReadFile(file)
	return string(text), err
}
