package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLintValues: what the chart would ignore or refuse is said of the file.
func TestLintValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	text := `
global: {image: {registry: registry.k8s.io}}
controller:
  image: {image: ingress-nginx/controller}
  allowSnippetAnnotations: true
  enableMimalloc: true
  config: {access-log-path: /dev/stdout, proxy-bodysize: 8m, block-cidrs: 192.0.2.0/24, hsts: true, use-gzip: null}
  extraArgs: {nosuch: 1, profiling: maybe, publish-service: a/b, v: 3, client-header-size: 1000000, enable-metrics: true}
  extraModules: [{name: a}]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log buffer
	code := run(t.Context(), []string{"lint", "--values", file}, console{in: strings.NewReader(""), out: &out, err: &log})
	want := []string{
		"ignored controller.allowSnippetAnnotations: snippets are never executed",
		"refused controller.extraModules: Usher loads no modules",
		"refused global.image.registry: registry.k8s.io is not Usher",
		"refused controller.image.image: ingress-nginx/controller is not Usher",
		"refused controller.extraArgs.enable-metrics: it is ingress-nginx's",
		"refused controller.extraArgs.nosuch: usher serve has no such flag",
		`refused controller.extraArgs.profiling: "maybe": want true or false`,
		"refused controller.extraArgs.publish-service: set controller.publishService instead",
		"ignored controller.config.access-log-path: logging is set by flags",
		"ignored controller.config.block-cidrs: it restricts access",
		"ignored controller.config.proxy-bodysize: there is no such key",
		"info    controller.ingressClassResource.name: the class is usher",
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if code != 1 || len(lines) != len(want) {
		t.Fatalf("code %d, %d lines, want 1 and %d\n%s%s", code, len(lines), len(want), out.String(), log.String())
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
}
