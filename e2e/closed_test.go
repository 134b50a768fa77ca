//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestEncodedPathsAreGuarded: what an endpoint reads as a closed path is closed, however the client encodes it, and what goes to an
// endpoint is the target as it was sent.
func TestEncodedPathsAreGuarded(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	s.route("open", "encoded.example", "/", "web")
	s.ingress("closed", `rules: [{host: encoded.example, http: {paths: [{path: /admin, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]`,
		`nginx.ingress.kubernetes.io/whitelist-source-range: 203.0.113.0/24`)
	u := s.usher()
	for _, path := range []string{
		"/admin", "/admin/x", "/%61dmin", "//admin", "/%2Fadmin", "/%2fadmin", "/x/..%2Fadmin", "/x/%2e%2e%2fadmin", "/admin%2Fusers", "/x%2F..%2Fadmin/",
		"/admin%2f", "/x/%2E%2E/admin", "/.%2Fadmin",
	} {
		u.expect("http://encoded.example"+path, "503 unsupported-annotation")
		u.explains("http://encoded.example"+path, "503 unsupported-annotation")
	}
	for _, path := range []string{"/%252Fadmin", "/x/..%252Fadmin", "/administrator", "/admin%252F", `/%5Cadmin`, "/admin/..%2Fx", "/a%2Fb"} {
		if a := u.expect("http://encoded.example"+path, "web"); a.echo.Path != path {
			t.Errorf("%s arrived as %s", path, a.echo.Path)
		}
	}
	for _, path := range []string{"/..%2Fadmin", "/%2e%2e%2fadmin", "/admin%00", "/admin%2"} {
		if got := u.ask("GET " + path + " HTTP/1.1\r\nHost: encoded.example\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s is answered by %q", path, got)
		}
	}
}

// TestExternalNamePorts: a port that the Service does not list is dialled by its number; a name that it does not list is 502.
func TestExternalNamePorts(t *testing.T) {
	s := folderScene(t)
	s.listen("outside", "127.0.0.1:18431")
	s.apply(`{apiVersion: v1, kind: Service, metadata: {name: out}, spec: {type: ExternalName, externalName: localhost, ports: [{name: https, port: 443, targetPort: 18432}]}}`)
	s.ingress("out", `
rules:
- host: external.example
  http:
    paths:
    - {path: /number, pathType: Prefix, backend: {service: {name: out, port: {number: 18431}}}}
    - {path: /name, pathType: Prefix, backend: {service: {name: out, port: {name: web}}}}
`)
	u := s.usher()
	u.expect("http://external.example/number", "outside")
	u.expect("http://external.example/name", "502 external-name-port")
	u.explains("http://external.example/name", "502 external-name-port")
}

// TestSessionKeyIsRandom: without an IngressClass that has a UID, no two processes have the same key, and a Diagnostic says so.
func TestSessionKeyIsRandom(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	s.ingress("web", `rules: [{host: session.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]`,
		`nginx.ingress.kubernetes.io/affinity: cookie`)
	one, two := s.usher(), s.usher()
	cookie, _, _ := strings.Cut(one.expect("http://session.example/", "web").Header.Get("Set-Cookie"), ";")
	for u, wantsNew := range map[*usher]bool{one: false, two: true} {
		u.expect("http://session.example/", "web")
		got := u.ask("GET / HTTP/1.1\r\nHost: session.example\r\nConnection: close\r\nCookie: " + cookie + "\r\n\r\n")
		if strings.Contains(got, "Set-Cookie: ") != wantsNew {
			t.Errorf("%s answers the cookie %q with\n%s", u.name, cookie, got)
		}
		u.diagnoses("random-session-key", "--session-key-secret")
	}
}

// TestRedirectsOfAnIngress: permanent-redirect and temporal-redirect answer as ingress-nginx does, whatever stands behind them; one that
// is not usable closes its paths.
func TestRedirectsOfAnIngress(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	redirects := map[string][]string{
		"moved":  {"permanent-redirect: https://new.example/x"},
		"coded":  {"permanent-redirect: https://new.example/x", `permanent-redirect-code: "308"`},
		"lent":   {"permanent-redirect: https://new.example/x", "temporal-redirect: https://other.example/"},
		"guards": {"permanent-redirect: https://new.example/x", "whitelist-source-range: 203.0.113.0/24", `force-ssl-redirect: "true"`},
		"broken": {"permanent-redirect: https://new.example$request_uri"},
		"number": {"permanent-redirect: https://new.example/x", "permanent-redirect-code: abc"},
	}
	for name, annotations := range redirects {
		for i := range annotations {
			annotations[i] = "nginx.ingress.kubernetes.io/" + annotations[i]
		}
		s.ingress(name, fmt.Sprintf(`rules: [{host: %[1]s.example, http: {paths: [{path: /web, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}, `+
			`{path: /, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}]}}]`, name), annotations...)
	}
	u := s.usher()
	for name, want := range map[string]string{
		"moved": "301 redirect https://new.example/x", "coded": "308 redirect https://new.example/x", "lent": "302 redirect https://other.example/",
		"guards": "301 redirect https://new.example/x", "broken": "503 bad-annotation", "number": "503 bad-annotation",
	} {
		for _, path := range []string{"/web/a?b=c", "/", "/x"} {
			status, location, _ := strings.Cut(want, " https")
			a := u.expect("http://"+name+".example"+path, status)
			if got := a.Header.Get("Location"); location != "" && got != "https"+location {
				t.Errorf("%s%s: Location %q, want %q", name, path, got, "https"+location)
			}
			u.explains("http://"+name+".example"+path, want)
		}
	}
}

// TestSnippetsClose: a snippet that may keep requests out closes its Ingress; a server-snippet also the paths of its namespace on the
// host. Others are skipped.
func TestSnippetsClose(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	const path = `{path: %s, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}`
	snippets := []struct{ snippet, want string }{
		{`location /internal { return 404; }`, "503 refused-annotation"},
		{`if ($http_x) {return\t405;}`, "503 refused-annotation"},
		{`'return' 404; # fine`, "503 refused-annotation"},
		{`add_header A '; return 200;'; satisfy any;`, "503 refused-annotation"},
		{`proxy_set_header X-User '';`, "503 refused-annotation"},
		{`more_clear_input_headers X-User;`, "503 refused-annotation"},
		{`limit_req zone=one;`, "503 refused-annotation"},
		{`include /etc/nginx/deny.conf;`, "503 refused-annotation"},
		{`add_header A 'b`, "503 refused-annotation"},
		{`add_header A '; deny all;'; # deny all;`, "web"},
		{`more_set_headers 'X-A: b';`, "web"},
		{`if ($request_method = OPTIONS) { return 204; }`, "web"},
	}
	for i, c := range snippets {
		for _, kind := range []string{"configuration", "server"} {
			host := fmt.Sprintf("%s-%d.example", kind, i)
			s.ingress(fmt.Sprintf("%s-%d", kind, i), fmt.Sprintf("rules: [{host: %s, http: {paths: ["+path+"]}}]", host, "/a"),
				fmt.Sprintf(`nginx.ingress.kubernetes.io/%s-snippet: "%s"`, kind, c.snippet))
			s.ingress(fmt.Sprintf("%s-%d-b", kind, i), fmt.Sprintf("rules: [{host: %s, http: {paths: ["+path+"]}}]", host, "/b"))
		}
	}
	u := s.usher()
	for i, c := range snippets {
		u.expect(fmt.Sprintf("http://configuration-%d.example/a", i), c.want)
		u.expect(fmt.Sprintf("http://configuration-%d.example/b", i), "web")
		u.expect(fmt.Sprintf("http://server-%d.example/a", i), c.want)
		u.expect(fmt.Sprintf("http://server-%d.example/b", i), c.want)
		if c.want != "web" {
			u.explains(fmt.Sprintf("http://server-%d.example/b", i), c.want)
		}
	}
}

// explains fails the test unless the replica explains a GET of a URL as wanted: status and reason, and the Location of a redirect.
func (u *usher) explains(target, want string) {
	u.t.Helper()
	response, err := http.Get(u.admin + "/debug/explain?format=json&url=" + url.QueryEscape(target))
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	var said struct {
		Answer struct {
			Status           int
			Reason, Location string
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		u.t.Fatal(err)
	}
	got := strings.TrimSpace(fmt.Sprintf("%d %s %s", said.Answer.Status, said.Answer.Reason, said.Answer.Location))
	if got != want {
		u.t.Errorf("%s is explained as %q, want %q", target, got, want)
	}
}

// ask sends a request as it stands and returns the whole answer.
func (u *usher) ask(request string) string {
	u.t.Helper()
	conn, err := net.Dial("tcp", u.address+":80")
	if err != nil {
		u.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		u.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		u.t.Fatal(err)
	}
	return string(answer)
}
