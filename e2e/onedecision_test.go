//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestExplainSaysWhatTheProxyDoes: a canary whose primary is broken, what no server serves, and a bare "?" in a redirect: the client's
// answer and that of explain are the same.
func TestExplainSaysWhatTheProxyDoes(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	s.backend("new")
	s.service("gone")
	s.slice("gone", "")
	s.route("web", "one.example", "/", "web")
	s.route("primary", "broken.example", "/", "gone")
	s.ingress("canary", `rules: [{host: broken.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: new, port: {number: 80}}}}]}}]`,
		`usher.dev/canary: "true"`, `usher.dev/canary-weight: "100"`)
	s.ingress("secure", `rules: [{host: secure.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]`,
		`usher.dev/force-ssl-redirect: "true"`)
	u := s.usher()
	u.expect("http://one.example/a?", "web")
	u.expect("http://broken.example/", "503 no-endpoints")
	u.explains("http://broken.example/", "503 no-endpoints")
	if _, stdout, _ := s.run("lint", "--manifests", s.folder, "--ingress-class", s.class, "--controller-class", "usher.dev/"+s.class); !strings.Contains(stdout, "no-endpoints") || !strings.Contains(stdout, "503") {
		t.Errorf("lint does not say that the path is answered 503:\n%s", stdout)
	}
	if got := u.ask("GET /a? HTTP/1.1\r\nHost: secure.example\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "Location: https://secure.example/a?\r\n") {
		t.Errorf("the redirect is %q", got)
	}
	u.answersAsExplained("GET", "secure.example", "/a?", "308")
	for method, status := range map[string]string{"TRACE": "405", "get": "501", "PRI": "501"} {
		u.answersAsExplained(method, "one.example", "/", status)
	}
	u.answersAsExplained("GET", "one..example", "/", "400")
	u.answersAsExplained("GET", "one.example", "/%zz", "400")
}

// answersAsExplained compares the status of an answer with that which explain has.
func (u *usher) answersAsExplained(method, host, target, status string) {
	u.t.Helper()
	got := u.ask(method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
		u.t.Errorf("%s http://%s%s: %q, want %s", method, host, target, got, status)
	}
	text, err := usherCommand("explain", "--admin", strings.TrimPrefix(u.admin, "http://"), "-X", method, "http://"+host+target).Output()
	if !strings.Contains(string(text), "=> "+status+" ") {
		u.t.Errorf("explain -X %s http://%s%s: %v\n%s", method, host, target, err, text)
	}
}
