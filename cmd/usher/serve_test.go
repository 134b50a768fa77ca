package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// site is a host, site.test, whose paths all go to a Service of this name at a port of the loopback address.
func site(service string, port int) string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: usher}
spec: {controller: usher.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: site
  namespace: default
  annotations: {}
spec:
  ingressClassName: usher
  rules: [{host: site.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[2]d}]
endpoints: [{addresses: [127.0.0.1]}]
`, service, port)
}

// backend starts a server and returns its port.
func backend(t *testing.T, h http.HandlerFunc) int {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestServeFolder(t *testing.T) {
	folder := t.TempDir()
	one, two := backend(t, says("one")), backend(t, says("two"))
	write(t, folder, "all.yaml", site("web", one))
	p := serve(t, "--manifests", folder)
	p.expect("/", 200, "one")

	// A change is live without a restart: by writing the file, and by renaming another over it.
	write(t, folder, "all.yaml", site("web", two))
	p.eventually("the change", func() bool { _, _, body := p.get("site.test", "/"); return body == "two" })
	write(t, folder, "all.new", site("web", one))
	if err := os.Rename(filepath.Join(folder, "all.new"), filepath.Join(folder, "all.yaml")); err != nil {
		t.Fatal(err)
	}
	p.eventually("the renamed file", func() bool { _, _, body := p.get("site.test", "/"); return body == "one" })

	// Half a file keeps what was read before, and says so.
	write(t, folder, "all.yaml", site("web", two)[:300]+"\n\t}")
	p.eventually("the complaint", func() bool { return strings.Contains(p.err.String(), "bad-input") })
	p.expect("/", 200, "one")

	p.signal()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitOK)
	}
}

func (p *process) expect(path string, status int, body string) {
	p.t.Helper()
	if gotStatus, _, gotBody := p.get("site.test", path); gotStatus != status || !strings.Contains(gotBody, body) {
		p.t.Errorf("%s: %d %q, want %d %q", path, gotStatus, gotBody, status, body)
	}
}

func TestServeAdminAndLogs(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "all.yaml", site("web", backend(t, says("one"))))
	other, _, _ := strings.Cut(strings.SplitAfter(site("web", 1), "---\n")[1], "---")
	write(t, folder, "other.yaml", strings.NewReplacer("name: site\n", "name: other\n", "ClassName: usher", "ClassName: traefik").Replace(other))
	p := serve(t, "--manifests", folder, "--reason-header=false", "--access-log-format=nginx", "--profiling")
	p.expect("/", 200, "one")
	if status, header, _ := p.get("nobody.test", "/"); status != 404 || header.Get("X-Usher-Reason") != "" {
		t.Errorf("unknown host: %d, %v; want 404 without a reason", status, header)
	}
	for path, want := range map[string]string{
		"/healthz": "", "/readyz": "", "/metrics": `usher_requests_total{`, "/debug/routes": "site.test", "/debug/backends": "default/web",
		"/debug/explain?url=http://site.test/": "forwarded to default/web", "/debug/pprof/": "goroutine", "/": "usher",
	} {
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.admin+path, nil)
		if status, _, body := p.do(http.DefaultTransport, r); status != 200 || !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
			t.Errorf("admin %s: %d, want 200 and %q in:\n%s", path, status, want, body)
		}
	}
	if code, stdout, stderr := usher("explain", "--admin", p.admin, "http://site.test/"); code != exitOK || !strings.Contains(stdout, "default/web") {
		t.Errorf("explain --admin: %d %s%s", code, stdout, stderr)
	}
	p.eventually("the access log", func() bool { return strings.Contains(p.out.String(), `"GET / HTTP/1.1" 200 3 "-" "Go-http-client`) })
	if !strings.Contains(p.err.String(), "class-ignored") || !strings.Contains(p.err.String(), "Ingress default/other") {
		t.Error("the log does not say that Ingress default/other is not claimed")
	}
}

// Whoever may not connect to a full Usher, the admin port is there: for the kubelet, and to see why.
func TestMaxConnections(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "all.yaml", site("web", backend(t, says("one"))))
	p := serve(t, "--manifests", folder, "--max-connections", "1")
	p.expect("/", 200, "one") // and the client keeps the connection
	another := &http.Transport{}
	defer another.CloseIdleConnections()
	r, _ := http.NewRequest(http.MethodGet, "http://"+p.http+"/healthz", nil)
	if status, _, body := p.do(another, r); status != 0 {
		t.Errorf("a second connection was answered %d %q", status, body)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": `usher_connections_refused_total{listener="http"} `} {
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.admin+path, nil)
		if status, _, body := p.do(another, r); status != 200 || !strings.Contains(body, want) {
			t.Errorf("admin %s: %d, want 200 and %q in:\n%s", path, status, want, body)
		}
	}
	p.expect("/", 200, "one")
	p.eventually("the line about it", func() bool { return strings.Contains(p.err.String(), `"limit":1,"refused":`) })
}

func TestServeTLS(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "all.yaml", site("web", backend(t, says("one"))))
	p := serve(t, "--manifests", folder)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "site.test"}, ForceAttemptHTTP2: true} //nolint:gosec // the fallback certificate is self-signed
	defer transport.CloseIdleConnections()
	r, _ := http.NewRequest(http.MethodGet, "https://"+p.https+"/", nil)
	r.Host = "site.test"
	if status, _, body := p.do(transport, r); status != 200 || body != "one" {
		t.Errorf("got %d %q, want 200 one", status, body)
	}
}

func TestAdoptMode(t *testing.T) {
	folder := t.TempDir()
	text := strings.NewReplacer("usher.dev/ingress-controller", nginxController, "name: usher}", "name: nginx}", "ClassName: usher", "ClassName: nginx").Replace(site("web", backend(t, says("one"))))
	write(t, folder, "all.yaml", text)
	p := serve(t, "--manifests", folder, "--controller-class="+nginxController, "--enable-ssl-passthrough", "--tcp-services-configmap", "a/b", "--disable-leader-election",
		"--sync-period=10m", "--status-port", "10246", "--enable-metrics=true", "--v=2", "--default-server-port=8181", "--enable-topology-aware-routing")
	p.expect("/", 200, "one")
	for _, want := range []string{"--disable-leader-election true is not honoured", "ConfigMap of services a/b does not exist", "--sync-period", "--status-port"} {
		if !strings.Contains(p.err.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	for _, flag := range []string{"--http-port", "--https-port", "--admin-port"} {
		args := []string{"serve", "--manifests", quickstartFolder, "--bind-address=127.0.0.1", "--admin-address=127.0.0.1", "--http-port=0", "--https-port=0", "--admin-port=0", flag + "=" + taken}
		if code, _, stderr := usher(args...); code != exitFailure || !strings.Contains(stderr, taken) {
			t.Errorf("%s taken: exit code %d, want %d and the port in: %s", flag, code, exitFailure, stderr)
		}
	}
}

// TestDrain: SIGTERM makes Usher not ready and lets a request in flight and a WebSocket end.
func TestDrain(t *testing.T) {
	folder := t.TempDir()
	release, arrived := make(chan struct{}), make(chan struct{}, 1)
	write(t, folder, "all.yaml", site("web", backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoUpgraded(w)
			return
		}
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "late")
	})))
	p := serve(t, "--manifests", folder, "--shutdown-delay=3s", "--shutdown-grace-period=15")
	late := make(chan string, 1)
	go func() {
		status, _, body := p.get("site.test", "/late")
		late <- fmt.Sprint(status, body)
	}()
	<-arrived
	socket := p.upgrade()
	defer socket.Close()

	p.signal()
	p.eventually("not ready", func() bool {
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.admin+"/readyz", nil)
		status, _, _ := p.do(http.DefaultTransport, r)
		return status == http.StatusServiceUnavailable
	})
	p.eventually("clients are asked to connect anew", func() bool {
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.http+"/healthz", nil)
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.Close
	})
	p.eventually("no more connections", func() bool {
		c, err := net.Dial("tcp", p.http)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	socket.expectEcho(t, "still here")
	close(release)
	if got := <-late; got != "200late" {
		t.Errorf("the request in flight got %q, want 200late", got)
	}
	socket.expectEcho(t, "and here")
	_ = socket.Close()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	folder := t.TempDir()
	anyHost := strings.NewReplacer("host: site.test, ", "")
	arrived := make(chan struct{}, 1)
	write(t, folder, "all.yaml", anyHost.Replace(site("web", backend(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))))
	p := serve(t, "--manifests", folder, "--shutdown-delay=0", "--shutdown-grace-period=10m")
	go func() { _, _ = http.Get("http://" + p.http) }()
	<-arrived
	p.signal()
	p.eventually("draining", func() bool { return strings.Contains(p.err.String(), "draining") })
	time.Sleep(2 * echoTime)
	p.signal()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

func TestGracePeriodEnds(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "all.yaml", site("web", backend(t, func(w http.ResponseWriter, _ *http.Request) { echoUpgraded(w) })))
	p := serve(t, "--manifests", folder, "--shutdown-grace-period=200ms")
	socket := p.upgrade()
	defer socket.Close()
	p.signal()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	if !strings.Contains(p.err.String(), "1 connections still in use") {
		t.Error("the log does not say what was cut")
	}
}

// echoUpgraded switches protocols and sends back what comes.
func echoUpgraded(w http.ResponseWriter) {
	c, b, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(c, b)
}

// socket is an upgraded connection.
type socket struct {
	net.Conn
	read *bufio.Reader
}

func (p *process) upgrade() *socket {
	p.t.Helper()
	c, err := net.Dial("tcp", p.http)
	if err != nil {
		p.t.Fatal(err)
	}
	s := &socket{c, bufio.NewReader(c)}
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	answer, err := http.ReadResponse(s.read, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("upgrade: %v, %v", answer, err)
	}
	return s
}

func (s *socket) expectEcho(t *testing.T, text string) {
	t.Helper()
	_ = s.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(s, text+"\n")
	if got, err := s.read.ReadString('\n'); got != text+"\n" {
		t.Errorf("the WebSocket sent back %q (%v), want %q", got, err, text)
	}
}

// TestUnderscores: a setting of the ConfigMap that is decided below the proxy is live at once too.
func TestUnderscores(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "all.yaml", site("web", backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Header["X_y"]) })))
	p := serve(t, "--manifests", folder, "--configmap=default/usher")
	ask := func() string {
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.http+"/", nil)
		r.Host, r.Header["X_Y"] = "site.test", []string{"1"}
		_, _, body := p.do(http.DefaultTransport, r)
		return body
	}
	if got := ask(); got != "[]" {
		t.Errorf("by default: %s, want the field dropped", got)
	}
	write(t, folder, "config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: usher, namespace: default}\ndata: {enable-underscores-in-headers: \"true\"}\n")
	p.eventually("the field to be kept", func() bool { return ask() == "[1]" })
}

// TestAccessLogJSON: one record of each request, on stdout.
func TestAccessLogJSON(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "all.yaml", site("web", backend(t, says("one"))))
	p := serve(t, "--manifests", folder)
	p.expect("/a?b=c", 200, "one")
	p.eventually("the record", func() bool { return strings.Contains(p.out.String(), "/a?b=c") })
	if line, _, _ := strings.Cut(p.out.String(), "\n"); !json.Valid([]byte(line)) {
		t.Errorf("not JSON: %s", line)
	}
}
