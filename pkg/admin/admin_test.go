package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// shop is a small table with something of everything, and a name that wants to be markup.
func shop() *route.Table {
	set := policy.Default()
	shopIngress := policy.Ref{Kind: "Ingress", Namespace: "demo", Name: "shop"}
	at := func(path int) policy.Origin {
		return policy.Origin{Object: shopIngress, Field: fmt.Sprintf("spec.rules[0].http.paths[%d]", path)}
	}
	path := func(i int, path string, backend int) *route.Route {
		return &route.Route{Host: "shop.example.com", Path: path, Type: route.Prefix, Ingress: shopIngress, Origin: at(i), Backend: backend, Policy: set}
	}
	old := path(2, "/old", -1)
	old.Broken = policy.NoService
	cart := path(1, "/cart", 1)
	cart.Shadowed = []policy.Origin{{Object: policy.Ref{Kind: "Ingress", Namespace: "demo", Name: "late"}, Field: "spec.rules[0].http.paths[0]"}}
	t := &route.Table{
		Generation: 42, Changed: noon.Add(-90 * time.Second), Policy: set,
		Hosts: route.NewHosts([]*route.Host{
			{Name: "shop.example.com", TLS: true, Paths: route.NewPaths([]*route.Route{path(0, "/", 0), cart, old})},
			{Name: "*.example.com", Paths: route.NewPaths(nil), Default: path(3, "", 0)},
		}),
		Backends: []*route.Backend{
			{Name: "demo/web:80", Namespace: "demo", Service: "web", Endpoints: []route.Endpoint{
				{Addr: netip.MustParseAddrPort("10.0.0.1:8080"), Pod: "web-0", Ready: true},
				{Addr: netip.MustParseAddrPort("10.0.0.2:8080"), Pod: "web-1", Ready: true},
			}, Draining: []route.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.3:8080"), Pod: "web-2", Serving: true, Terminating: true}}},
			{Name: "demo/cart:80", Reason: policy.NoReadyEndpoints, Detail: "1 endpoint, none ready",
				Unready: []route.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.9:8080"), Pod: "cart-0"}}},
			{Name: "demo/none:80", Reason: policy.NoEndpoints, Detail: "Service demo/none has no endpoints"},
		},
		Certificates: &route.Certificates{Default: certificate("usher/default", "example.org", noon.Add(300*24*time.Hour))},
		Diagnostics: []route.Diagnostic{
			{Severity: route.Warning, Reason: policy.BadAnnotation, Origin: policy.Origin{Object: shopIngress, Field: "metadata.annotations[usher.dev/x]"},
				Message: `"<script>alert(1)</script>": want true or false`, Effect: "the default applies"},
			{Severity: route.Error, Reason: policy.NoService, Origin: at(2), Message: "Service demo/old does not exist", Effect: "/old answers 503"},
		},
	}
	t.Certificates.Add("shop.example.com", certificate("demo/shop-tls", "shop.example.com", noon.Add(30*time.Hour)))
	return t
}

func certificate(secret, name string, until time.Time) *route.Certificate {
	namespace, secret, _ := strings.Cut(secret, "/")
	return &route.Certificate{
		Names: []string{name}, Secret: policy.Ref{Kind: "Secret", Namespace: namespace, Name: secret}, NotFrom: noon.Add(-time.Hour), Until: until,
		TLS: &tls.Certificate{Leaf: &x509.Certificate{PublicKeyAlgorithm: x509.ECDSA}, PrivateKey: "the key, which nobody must see"},
	}
}

func live(t *route.Table) *route.Live {
	l := &route.Live{}
	if t != nil {
		l.Swap(t)
	}
	return l
}

func newAdmin(t *route.Table, change ...func(*Options)) *Admin {
	o := Options{Tables: live(t), Version: "v1.2.3", Metrics: http.NotFoundHandler(), Endpoints: func() []EndpointState {
		return []EndpointState{{Service: "demo/web", Address: "10.0.0.1:8080", Protocol: "http", State: "ok", InFlight: 2, Requests: 100, Failures: 1, Connections: 3}}
	}}
	for _, c := range change {
		c(&o)
	}
	a := New(o)
	a.now = func() time.Time { return noon }
	return a
}

func ask(a *Admin, method, url string, header ...string) *http.Response {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPages(t *testing.T) {
	a := newAdmin(shop())
	for name, url := range map[string]string{
		"dashboard.html":    "/",
		"filtered.html":     "/?host=nobody",
		"routes.txt":        "/debug/routes",
		"one-host.txt":      "/debug/routes?host=SHOP.example.com",
		"routes.json":       "/debug/routes?format=json",
		"diagnostics.txt":   "/debug/diagnostics",
		"diagnostics.json":  "/debug/diagnostics?format=json",
		"backends.txt":      "/debug/backends",
		"backends.json":     "/debug/backends?format=json",
		"certificates.txt":  "/debug/certificates",
		"certificates.json": "/debug/certificates?format=json",
	} {
		resp := ask(a, "GET", url)
		got := body(t, resp)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", url, resp.StatusCode, got)
		}
		if strings.Contains(got, "nobody must see") || strings.HasSuffix(name, ".html") && strings.Contains(got, "<script>") {
			t.Errorf("%s shows what it must not", url)
		}
		compare(t, name, got)
	}
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestJSONByAccept(t *testing.T) {
	a := newAdmin(shop())
	for _, url := range []string{"/debug/routes", "/debug/diagnostics", "/debug/backends", "/debug/certificates", "/debug/explain?url=http://shop.example.com/"} {
		resp := ask(a, "GET", url, "Accept", "application/json")
		if !json.Valid([]byte(body(t, resp))) || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: not JSON", url)
		}
		browser := ask(a, "GET", url, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		if got := browser.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%s: a browser gets %q", url, got)
		}
	}
}

func TestExplain(t *testing.T) {
	got := body(t, ask(newAdmin(shop()), "GET", "/debug/explain?url=https://shop.example.com/cart/1"))
	for _, want := range []string{"503", "no-ready-endpoints", "demo/cart:80", "demo/shop-tls"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

// TestExplainRemembers: a running Usher also knows how its endpoints have fared, by the protocol that fares worst.
func TestExplainRemembers(t *testing.T) {
	got := body(t, ask(newAdmin(shop(), func(o *Options) {
		o.Endpoints = func() []EndpointState {
			return []EndpointState{
				{Service: "demo/web", Address: "10.0.0.1:8080", Protocol: "http", State: "ejected", Failing: 6, LastFailure: policy.EndpointRefused},
				{Service: "demo/web", Address: "10.0.0.1:8080", Protocol: "h2c", State: "ok"},
				{Service: "evil/web", Address: "10.0.0.1:8080", Protocol: "http", State: "ejected", Failing: 99, LastFailure: policy.EndpointReset},
			}
		}
	}), "GET", "/debug/explain?url=https://shop.example.com/"))
	if want := "10.0.0.1:8080, pod web-0, ejected: the last 6 requests failed, by endpoint-refused"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
}

// TestAuthority: the root of the internal CA is shown where there is one, and what keeps it from being shown.
func TestAuthority(t *testing.T) {
	with := func(pem string, err error) func(*Options) {
		return func(o *Options) {
			o.Authority = func(context.Context) ([]byte, error) {
				if pem == "" {
					return nil, err
				}
				return []byte(pem), err
			}
		}
	}
	for name, c := range map[string]struct {
		admin  *Admin
		status int
		want   string
	}{
		"no ACME":        {newAdmin(shop()), 404, "no internal CA"},
		"another CA":     {newAdmin(shop(), with("", nil)), 404, "no internal CA"},
		"no storage":     {newAdmin(shop(), with("", errors.New("storage: down"))), 500, "storage: down"},
		"an internal CA": {newAdmin(shop(), with("-----BEGIN CERTIFICATE-----", nil)), 200, "BEGIN CERTIFICATE"},
	} {
		if resp := ask(c.admin, "GET", "/debug/ca"); resp.StatusCode != c.status || !strings.Contains(body(t, resp), c.want) {
			t.Errorf("%s: %d, want %d and %q", name, resp.StatusCode, c.status, c.want)
		}
	}
}

// Lists are lists in JSON when they are empty, too.
func TestEmptyTable(t *testing.T) {
	a := newAdmin(&route.Table{Generation: 1})
	for url, want := range map[string]string{"/debug/diagnostics": "[]", "/debug/backends": "[]", "/debug/certificates": "[]"} {
		if got := strings.TrimSpace(body(t, ask(a, "GET", url+"?format=json"))); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
	for _, url := range []string{"/", "/debug/routes", "/debug/diagnostics", "/debug/backends", "/debug/certificates"} {
		if resp := ask(a, "GET", url); resp.StatusCode != 200 {
			t.Errorf("%s: %d", url, resp.StatusCode)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	draining := func(o *Options) { o.Ready = func() error { return errors.New("draining since SIGTERM") } }
	cases := []struct {
		about  string
		admin  *Admin
		url    string
		status int
		body   string
	}{
		{"alive before the first table", newAdmin(nil), "/healthz", 200, "ok\n"},
		{"not ready before the first table", newAdmin(nil), "/readyz", 503, "not ready: no table yet: the objects have not been read completely\n"},
		{"ready", newAdmin(shop()), "/readyz", 200, "ready\n"},
		{"draining", newAdmin(shop(), draining), "/readyz", 503, "not ready: draining since SIGTERM\n"},
		{"alive while draining", newAdmin(shop(), draining), "/healthz", 200, "ok\n"},
		{"no routes yet", newAdmin(nil), "/debug/routes", 503, "no table yet: the objects have not been read completely\n"},
	}
	for _, c := range cases {
		resp := ask(c.admin, "GET", c.url)
		if got := body(t, resp); resp.StatusCode != c.status || got != c.body {
			t.Errorf("%s: %d %q", c.about, resp.StatusCode, got)
		}
	}
	if got := body(t, ask(newAdmin(nil), "GET", "/")); !strings.Contains(got, "Not ready: no table yet") {
		t.Error("the dashboard does not say that there is no table")
	}
}

func TestOnlyShows(t *testing.T) {
	a := newAdmin(shop())
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if resp := ask(a, method, "/debug/routes"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
	for _, url := range []string{"/", "/healthz", "/readyz", "/debug/routes", "/nothing"} {
		if got := ask(a, "HEAD", url).Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", url, got)
		}
	}
}

func TestErrorsAreTold(t *testing.T) {
	a := newAdmin(shop())
	for url, status := range map[string]int{
		"/debug/explain":                                400,
		"/debug/explain?url=gopher://x":                 400,
		"/debug/explain?url=http://a/&header=nonsense":  400,
		"/debug/explain?url=http://a/&client=everybody": 400,
		"/debug/routes?host=nobody.example.net":         404,
		"/debug/pprof/":                                 404,
		"/nothing":                                      404,
	} {
		resp := ask(a, "GET", url)
		if got := body(t, resp); resp.StatusCode != status || got == "" {
			t.Errorf("%s: %d %q", url, resp.StatusCode, got)
		}
	}
}

func TestProfilingIsAnOption(t *testing.T) {
	a := newAdmin(shop(), func(o *Options) { o.Profiling = true })
	if resp := ask(a, "GET", "/debug/pprof/heap?debug=1"); resp.StatusCode != 200 {
		t.Errorf("got %d", resp.StatusCode)
	}
}

func TestContentSecurityPolicy(t *testing.T) {
	policy := ask(newAdmin(shop()), "GET", "/").Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'sha256-", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q lacks %s", policy, want)
		}
	}
}

// Ten thousand hosts make a page that still opens.
func TestDashboardIsBounded(t *testing.T) {
	var hosts []*route.Host
	table := shop()
	for i := range 10_000 {
		name := fmt.Sprintf("host%d.example.net", i)
		hosts = append(hosts, &route.Host{Name: name, Paths: route.NewPaths([]*route.Route{{Host: name, Path: "/", Type: route.Prefix}})})
		table.Diagnostics = append(table.Diagnostics, route.Diagnostic{Severity: route.Info, Reason: policy.IneffectiveAnnotation, Message: name})
	}
	table.Hosts = route.NewHosts(hosts)
	page := body(t, ask(newAdmin(table), "GET", "/"))
	if len(page) > 256<<10 || !strings.Contains(page, "and 9500 more; filter by host") {
		t.Errorf("%d bytes", len(page))
	}
	if filtered := body(t, ask(newAdmin(table), "GET", "/?host=host4321.")); !strings.Contains(filtered, "host4321.example.net") {
		t.Error("the filter does not find a host")
	}
}

func TestServe(t *testing.T) {
	a := newAdmin(shop())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- a.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + l.Addr().String() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, resp); got != "ready\n" {
		t.Errorf("got %q", got)
	}
	resp.Body.Close()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
