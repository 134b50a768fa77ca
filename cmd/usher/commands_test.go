package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/route"
)

const quickstartFolder = "../../examples/quickstart"

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"serv", `unknown command "serv"; did you mean "serve"?`},
		{"migrate", `unknown command "migrate"`},
		{"serve --no-such-flag", "unknown flag: --no-such-flag"},
		{"serve extra", `unexpected argument "extra"`},
		{"serve --manifests nowhere", `--manifests "nowhere": want a folder or file that exists`},
		{"serve --manifests . --kubeconfig k", `--manifests "." and --kubeconfig "k": want one of them`},
		{"serve --manifests . --http-port 70000", `invalid argument "70000" for "--http-port"`},
		{"serve --manifests . --healthz-port x", `invalid argument "x" for "--admin-port"`},
		{"serve --manifests . --bind-address localhost", `--bind-address "localhost": want an IP address`},
		{"serve --manifests . --admin-address localhost", `--admin-address "localhost": want an IP address`},
		{"serve --manifests . --configmap usher", `--configmap "usher": want namespace/name`},
		{"serve --manifests . --default-ssl-certificate a/b/c", `--default-ssl-certificate "a/b/c": want namespace/name`},
		{"serve --manifests . --default-backend-service /b", `--default-backend-service "/b": want namespace/name`},
		{"serve --manifests . --publish-service b", `--publish-service "b": want namespace/name`},
		{"serve --manifests . --allow-upstream-cidr 10.0.0.1", `--allow-upstream-cidr "10.0.0.1": want a CIDR such as 10.0.0.0/8`},
		{"serve --manifests . --shutdown-grace-period soon", `want seconds, as 30, or a time with its unit, as 30s`},
		{"serve --manifests . --log-format yaml", `want json or console`},
		{"serve --manifests . --log-level loud", `want debug or info or warn or error`},
		{"serve --manifests . --access-log-format csv", `want json or nginx`},
		{"serve --manifests . --watch-namespace a --watch-namespace-selector b=c", `want one of them`},
		{"serve --manifests . --watch-namespace-selector a=b=c", `want a label selector such as team=shop`},
		{"serve --manifests . --ingress-selector a=b=c", `--ingress-selector "a=b=c": want a label selector such as team=shop`},
		{"serve --manifests . --http-redirect-port 70000", `invalid argument "70000" for "--http-redirect-port"`},
		{"serve --manifests . --publish-node-addresses all", `want none or external or internal`},
		{"serve --manifests . --keep-alive-requests 0", `--keep-alive-requests 0: want at least 1`},
		{"serve --manifests . --max-connections -1", `--max-connections -1: want at least 0`},
		{"serve --manifests . --max-connections many", `"many"`},
		{"serve --manifests . --election-id=", `--election-id "": want a name`},
		{"serve --kubeconfig nowhere", `--kubeconfig "nowhere"`},
		{"serve --manifests . --tcp-services-configmap b", `--tcp-services-configmap "b": want namespace/name`},
		{"serve --manifests . --validating-webhook :8443", `unknown flag: --validating-webhook; it is ingress-nginx's`},
		{"serve --manifests . --acme-email me", `--acme-email "me": want an address`},
		{"serve --manifests . --acme-email me@example.com --acme-ca http://ca.example", `--acme-ca "http://ca.example": want the https URL`},
		{"serve --manifests . --acme-ca internal --acme-fallback-ca https://ca.example", `--acme-fallback-ca "https://ca.example": want none`},
		{"serve --manifests . --acme-ca internal --acme-dns-only", "want --acme-dns-server too"},
		{"serve --manifests . --acme-ca internal --acme-dns-server :53", `--acme-dns-server ":53": want a host`},
		{"serve --manifests . --acme-ca internal --acme-dns-server ns1 --acme-dns-key-file nowhere.key", "--acme-dns-key-file: open nowhere.key"},
		{"lint --manifests . -o xml", `want text or json or github`},
		{"lint --manifests . --fail-on info", `want error or warning or never`},
		{"explain --manifests .", "want one URL, got 0"},
		{"explain --manifests . ftp://a", `want http://HOST/PATH`},
		{"explain --manifests . -H nocolon http://a", `header "nocolon": want 'Name: value'`},
		{"explain --manifests . --client me http://a", `--client "me": want an IP address`},
		{"explain --manifests . --admin 127.0.0.1:1 http://a", `--admin "127.0.0.1:1": want it alone`},
	} {
		code, _, stderr := usher(strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "--help") {
			t.Errorf("usher %s: exit code %d, want %d and %q in:\n%s", c.args, code, exitUsage, c.want, stderr)
		}
	}
}

func TestNoClusterAround(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, command := range []string{"serve", "lint", "explain http://a"} {
		code, _, stderr := usher(strings.Fields(command)...)
		if code != exitUsage || !strings.Contains(stderr, "want --manifests FOLDER or --kubeconfig FILE") {
			t.Errorf("usher %s: exit code %d, %s", command, code, stderr)
		}
	}
}

func TestHelpIsWorthReading(t *testing.T) {
	for _, c := range newRoot(console{}).Commands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		code, stdout, _ := usher(c.Name(), "--help")
		if code != exitOK || len(stdout) < 80 {
			t.Errorf("usher %s --help: exit code %d, %q", c.Name(), code, stdout)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 105 {
				t.Errorf("usher %s --help: a line is too wide for a terminal: %q", c.Name(), line)
			}
		}
	}
	if code, stdout, _ := usher(); code != exitOK || !strings.Contains(stdout, "usher demo") {
		t.Errorf("usher alone: exit code %d, %q", code, stdout)
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := usher("version")
	if code != exitOK || !strings.HasPrefix(stdout, "usher ") || !strings.Contains(stdout, "commit ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}

func TestLint(t *testing.T) {
	clean, warned := t.TempDir(), t.TempDir()
	write(t, clean, "all.yaml", site("web", 9000))
	write(t, warned, "all.yaml", strings.Replace(site("web", 9000), "  annotations: {}", `  annotations: {usher.dev/proxy-read-timeout: 60s}`, 1))
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--manifests " + clean, exitOK, "errors: 0, warnings: 0, infos: 0"},
		{"--manifests " + quickstartFolder, exitFailure, "no-service: Service demo/chekout does not exist"},
		{"--manifests " + quickstartFolder + " --fail-on never", exitOK, "no-service"},
		{"--manifests " + warned, exitOK, "warnings: 1"},
		{"--manifests " + warned + " --fail-on warning", exitFailure, `proxy-read-timeout "60s": want whole seconds`},
		{"--manifests " + warned + " -o github", exitOK, "::warning title=bad-annotation Ingress default/site::"},
		{"--manifests " + clean + " -o json", exitOK, "[]\n"},
	} {
		code, stdout, stderr := usher(append([]string{"lint"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stdout, c.want) || stderr != "" {
			t.Errorf("usher lint %s: exit code %d, want %d and %q in:\n%s%s", c.args, code, c.code, c.want, stdout, stderr)
		}
	}
	_, stdout, _ := usher("lint", "--manifests", warned, "-o", "json")
	var found []route.Diagnostic
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || len(found) != 1 || found[0].Origin.Object.Name != "site" {
		t.Errorf("JSON: %v, %s", err, stdout)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"https://shop.localhost/cart/1"}, exitOK, []string{"=> forwarded to demo/cart:http", "127.0.0.1:9003", "pod cart-0", "shorter"}},
		{[]string{"https://shop.localhost/checkout"}, exitFailure, []string{"=> 503 Service Unavailable, reason no-service", "Service demo/chekout does not exist"}},
		{[]string{"http://shop.localhost/"}, exitOK, []string{"=> 308 Permanent Redirect to https://shop.localhost"}},
		{[]string{"http://nobody.localhost/"}, exitFailure, []string{"=> 404 Not Found, reason no-host"}},
		{[]string{"-H", "Host: api.localhost", "-X", "POST", "-a", "http://127.0.0.1/v1/status"}, exitOK, []string{"POST http://api.localhost", "/v1/status Exact", "phase forward"}},
	} {
		code, stdout, stderr := usher(append([]string{"explain", "--manifests", quickstartFolder}, c.args...)...)
		if code != c.code || stderr != "" {
			t.Errorf("usher explain %v: exit code %d, want %d: %s", c.args, code, c.code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("usher explain %v: want %q in:\n%s", c.args, want, stdout)
			}
		}
	}
	_, stdout, _ := usher("explain", "--manifests", quickstartFolder, "-o", "json", "https://shop.localhost/checkout")
	var e explain.Explanation
	if err := json.Unmarshal([]byte(stdout), &e); err != nil || e.Answer.Status != 503 {
		t.Errorf("JSON: %v, %s", err, stdout)
	}
}

func TestExplainAsksNobody(t *testing.T) {
	code, _, stderr := usher("explain", "--admin", "127.0.0.1:1", "http://a.test/")
	if code != exitFailure || !strings.Contains(stderr, "--admin 127.0.0.1:1") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
