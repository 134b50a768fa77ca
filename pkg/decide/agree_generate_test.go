package decide_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// generator makes tables and requests.
type generator struct {
	*rand.Rand
	front *front
	keys  policy.StickyKeys
}

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// table makes a table of a few hosts, each of whose paths has something of its own.
func (g *generator) table() *route.Table {
	g.keys = policy.StickyKeys{[]byte("0123456789abcdef")}
	t := &route.Table{Generation: 1, Policy: g.global(), StickyKeys: &g.keys}
	for i, address := range g.front.apps {
		t.Backends = append(t.Backends, &route.Backend{
			Name: fmt.Sprintf("demo/app%d:80", i), Namespace: "demo", Service: fmt.Sprintf("app%d", i), Port: "80",
			Protocol:  pick(g, policy.ProtocolUnset, policy.HTTP, policy.HTTPS),
			Endpoints: []route.Endpoint{{Addr: netip.MustParseAddrPort(address), Ready: true, Serving: true}},
		})
	}
	for i, reason := range []policy.Reason{policy.NoService, policy.NoReadyEndpoints, ""} {
		t.Backends = append(t.Backends, &route.Backend{Name: fmt.Sprintf("demo/none%d:80", i), Namespace: "demo", Service: "none", Port: "80", Reason: reason})
	}
	var hosts []*route.Host
	for _, name := range []string{"a.test", "b.test", "*.c.test", "d.test", ""} {
		if !g.one(5) {
			hosts = append(hosts, g.host(t, name))
		}
	}
	t.Hosts = route.NewHosts(hosts)
	if g.one(4) {
		t.Default = g.route(t, "", "/", route.Prefix)
	}
	if g.one(4) {
		t.Fallback = g.route(t, "", "/", route.Prefix)
	}
	return t
}

// global is what a ConfigMap may say.
func (g *generator) global() *policy.Set {
	values := map[string]string{"proxy-real-ip-cidr": pick(g, "127.0.0.0/8", "127.0.0.0/8", "10.0.0.0/8", "0.0.0.0/0")}
	for _, key := range []string{"use-forwarded-headers", "enable-real-ip", "compute-full-forwarded-for", "proxy-add-original-uri-header",
		"generate-request-id", "enable-underscores-in-headers", "hsts"} {
		if g.one(2) {
			values[key] = pick(g, "true", "false")
		}
	}
	if g.one(4) {
		values["forwarded-for-header"] = "X-Client"
		values["http-redirect-code"] = pick(g, "301", "302", "307")
	}
	set, problems := policy.ParseConfigMap(policy.Default(), policy.Input{Values: values})
	if len(problems) > 0 {
		g.front.t.Fatal(problems)
	}
	return set
}

func (g *generator) host(t *route.Table, name string) *route.Host {
	h := &route.Host{Name: name, TLS: g.one(3), Origin: policy.Origin{Object: policy.Ref{Kind: "Ingress", Namespace: pick(g, "demo", "other"), Name: "x"}}}
	if g.one(5) {
		h.Handshake = &policy.TLS{Min: tls.VersionTLS13, Max: tls.VersionTLS13}
	}
	if g.one(6) {
		h.ClientAuth = g.clientAuth()
	}
	var routes []*route.Route
	for _, path := range []string{"/", "/a", "/a/b", "/x y", "/é", "/healthz"} {
		if !g.one(3) {
			routes = append(routes, g.route(t, name, path, route.Prefix))
		}
	}
	for _, path := range []string{"/a", "/exact"} {
		if g.one(2) {
			routes = append(routes, g.route(t, name, path, route.Exact))
		}
	}
	if g.one(5) {
		h.Default = g.route(t, name, "/", route.Prefix)
	}
	h.Paths = route.NewPaths(routes)
	return h
}

func (g *generator) route(t *route.Table, host, path string, kind route.PathType) *route.Route {
	r := &route.Route{Host: host, Path: path, Type: kind, Ingress: policy.Ref{Kind: "Ingress", Namespace: "demo", Name: fmt.Sprintf("i%d", g.Uint32())},
		Backend: g.IntN(len(g.front.apps)), Policy: g.settings(t.Policy)}
	switch g.IntN(24) {
	case 0:
		r.Backend, r.Broken = -1, policy.BadBackend
	case 1, 2, 3:
		r.Backend = len(g.front.apps) + g.IntN(3)
	case 4:
		r.Backend = -1
	}
	if g.one(8) {
		r.ClientAuth = g.clientAuth()
	}
	if g.one(8) {
		r.UpstreamTLS = &route.UpstreamTLS{Broken: policy.UpstreamTLSUnavailable}
	}
	if g.one(4) {
		rules := policy.Canary{Total: 100, Weight: pick(g, 0, 0, 30, 100), Header: pick(g, "", "X-Canary", "X-Canary", "X_canary"), Cookie: pick(g, "", "beta")}
		if rules.Header != "" && g.one(3) {
			rules.Value = "yes"
		}
		r.Canary = &route.Canary{Backend: g.IntN(len(t.Backends)), Policy: &rules}
		if g.one(6) {
			r.Canary.Backend, r.Canary.Broken = -1, policy.NoService
		}
	}
	return r
}

// settings are what an Ingress may say.
func (g *generator) settings(base *policy.Set) *policy.Set {
	values := map[string]string{}
	maybe := func(in int, key string, from ...string) {
		if g.one(in) {
			values["u/"+key] = pick(g, from...)
		}
	}
	maybe(4, "ssl-redirect", "true", "false")
	maybe(12, "force-ssl-redirect", "true")
	maybe(4, "preserve-trailing-slash", "true")
	maybe(16, "temporal-redirect", "/elsewhere", "https://e.test/?a=b")
	maybe(16, "permanent-redirect", "/always", "http://p.test")
	maybe(16, "permanent-redirect-code", "302", "304", "308")
	maybe(6, "upstream-vhost", "internal.test", "internal.test:81")
	maybe(6, "backend-protocol", "HTTP", "HTTPS", "AUTO_HTTP")
	maybe(4, "proxy-body-size", "1", "1", "0")
	maybe(12, "limit-rps", "1", "1000000")
	maybe(12, "limit-connections", "1", "50")
	maybe(4, "affinity", "cookie")
	maybe(2, "affinity-mode", "persistent", "balanced")
	maybe(4, "affinity-canary-behavior", "legacy", "sticky")
	maybe(6, "grpc-web", "true")
	set, problems := policy.Parse(base, policy.Input{Prefixes: []string{"u/"}, Values: values})
	if len(problems) > 0 {
		g.front.t.Fatal(problems)
	}
	if g.one(20) {
		closed := *set
		closed.Deny = policy.BadAnnotation
		set = &closed
	}
	return set
}

func (g *generator) clientAuth() *route.ClientAuth {
	p := &policy.ClientCert{Verify: pick(g, policy.VerifyOn, policy.VerifyOn, policy.VerifyOff, policy.VerifyOptional, policy.VerifyOptionalNoCA), Depth: 1, Forward: false}
	if g.one(3) {
		p.ErrorPage = "https://e.test/login"
	}
	if g.one(3) {
		p.CommonName = commonName
	}
	if g.one(6) {
		return &route.ClientAuth{Policy: p, Broken: policy.ClientCAUnavailable}
	}
	return &route.ClientAuth{Policy: p, CAs: g.front.pki.cas}
}

var commonName = regexp.MustCompile("^CN=partner-9|^CN=partner-1")

// request is one that a client makes.
type request struct {
	tls                  bool
	server, cert         string
	method, host, target string
	fields               [][2]string
	body                 int
	front                *front
}

func (r *request) String() string {
	return fmt.Sprintf("%q, tls %t to %q with certificate %q", r.raw(), r.tls, r.server, r.cert)
}

// question is the request as one asks explain about it.
func (r *request) question() explain.Request {
	q := explain.Request{Method: r.method, URL: "http://" + r.host + r.target, Header: http.Header{"Host": {r.host}}, Client: local, Shown: []*x509.Certificate{}, Now: time.Now()}
	if r.tls {
		q.URL = "https://" + r.server + r.target
		if c, ok := r.front.pki.clients[r.cert]; ok {
			q.Shown = []*x509.Certificate{c.Leaf}
		}
	}
	for _, f := range r.fields {
		q.Header.Add(f[0], f[1])
	}
	if r.body > 0 {
		q.Header.Set("Content-Length", fmt.Sprint(r.body))
	}
	return q
}

func (g *generator) request() *request {
	r := &request{front: g.front, tls: g.one(4), method: "GET", target: g.target()}
	r.host = pick(g, "a.test", "a.test", "b.test", "www.c.test", "d.test", "nobody.test", "c.test", "1.2.c.test", "A.Test", "a.test:80", "b.test.", "d.test:8443", "127.0.0.1")
	if g.one(24) {
		r.host = pick(g, "a..test", "a test", "a.test:99999", "a.test:", "[::1]", "[::1", "a_b.test", "a,test", ".a.test", "[::1]:80", "a.test:x", "ä.test", "a%41.test")
	}
	if g.one(3) {
		r.method = pick(g, "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "OPTIONS", "PATCH")
	}
	if g.one(20) {
		r.method = pick(g, "get", "TRACE", "BREW", "M-SEARCH", "PRI", "Get", "G@T", "CONNECT", "X1", strings.Repeat("A", 40))
	}
	if r.tls {
		r.server, r.cert = pick(g, "a.test", "b.test", "www.c.test", "d.test"), pick(g, "", "", "good", "good", "stranger")
		if g.one(2) {
			r.host = r.server
		}
	}
	if r.method == "POST" && g.one(2) {
		r.body = pick(g, 4, 8, 100)
	}
	g.fields(r)
	return r
}

func (g *generator) target() string {
	var b strings.Builder
	for range g.IntN(4) {
		b.WriteString("/" + pick(g, "a", "a", "a", "b", "b", "exact", "x%20y", "%C3%A9", "é", "%2F", ".", "..", "", "%2e%2E", "a%2Fb", "A", "healthz", ".well-known"))
	}
	if g.one(40) {
		b.WriteString("/" + pick(g, "%zz", "%00", "%", "%2", "a b", "a\"b", "{a|b}", "^", "a\\b"))
	}
	if b.Len() == 0 || g.one(5) {
		b.WriteString("/")
	}
	return b.String() + pick(g, "", "", "", "?", "?a=b", "?a=%zz&b", "??", "?/", "?é")
}

func (g *generator) fields(r *request) {
	maybe := func(in int, name string, from ...string) {
		if g.one(in) {
			r.fields = append(r.fields, [2]string{name, pick(g, from...)})
		}
	}
	maybe(3, "X-Forwarded-For", "203.0.113.7", "203.0.113.7, 127.0.0.1", "junk", "[2001:db8::1]:80, 127.0.0.9", "")
	maybe(20, "X-Forwarded-For", "198.51.100.1")
	maybe(6, "X-Client", "203.0.113.8")
	maybe(3, "X-Forwarded-Proto", "https", "http", "WSS", "ws", "ftp", "https, http")
	maybe(5, "X-Forwarded-Host", "seen.test", "Seen.Test:8443", "a.test, b.test", "[::1]:1", "a b", "a/b", "a!b", "")
	maybe(5, "X-Forwarded-Port", "8443", "x", "123456")
	maybe(8, "X-Forwarded-Prefix", "/p")
	maybe(8, "Forwarded", "for=1.2.3.4")
	maybe(8, "X-Real-Ip", "9.9.9.9")
	maybe(8, "X-Scheme", "x")
	maybe(5, "X-Request-Id", "mine", "")
	maybe(8, "X-Original-Uri", "/o")
	maybe(8, "Ssl-Client-Verify", "SUCCESS")
	maybe(8, "Ssl_client_verify", "SUCCESS")
	maybe(8, "X_under", "1")
	maybe(8, "X_canary", "always")
	maybe(4, "X-Canary", "always", "never", "yes", "perhaps")
	maybe(12, "X-Canary", "never")
	maybe(6, "Te", "trailers", "gzip, Trailers", "gzip")
	maybe(6, "Connection", "keep-alive", "x-mine", "x-mine, X-Forwarded-For", "max-forwards", "te, x-forwarded-host")
	if g.one(10) {
		r.fields = append(r.fields, [2]string{"Connection", "Upgrade"})
	}
	maybe(8, "Upgrade", "websocket", "h2c", "websocket, h2c")
	maybe(8, "X-Mine", "1")
	maybe(8, "Keep-Alive", "timeout=5")
	maybe(8, "Proxy", "http://evil")
	maybe(8, "Proxy-Authorization", "x")
	maybe(12, "Http2-Settings", "AAA")
	maybe(12, "Cdn-Loop", "other", "usher-1;to=1")
	if r.method == "OPTIONS" {
		maybe(2, "Max-Forwards", "0", "1", "10", "x", "-1", "00")
	}
	maybe(20, "Max-Forwards", "3")
	if r.method == "POST" {
		maybe(2, "Content-Type", "application/grpc-web+proto", "application/grpc-web-text", "text/plain")
	}
	maybe(6, "Cookie", "beta=always", "beta=never; x=y", "BETA=always", "INGRESSCOOKIE=junk")
	if g.one(4) {
		name := fmt.Sprintf("demo/app%d:80", g.IntN(4))
		token := g.keys.Sessions(name).Token(g.Uint64())
		if g.one(2) {
			token = g.keys.PodToken(name, g.front.apps[g.IntN(4)])
		}
		r.fields = append(r.fields, [2]string{"Cookie", "INGRESSCOOKIE=" + token})
	}
}

// pki are the certificates of servers and clients.
type pki struct {
	server  tls.Certificate
	clients map[string]tls.Certificate
	cas     *route.ClientCAs
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{clients: map[string]tls.Certificate{}}
	ca, stranger := issue(t, "ca", nil), issue(t, "stranger", nil)
	p.server = issue(t, "server", &ca)
	p.clients["good"], p.clients["stranger"] = issue(t, "partner-1", &ca), issue(t, "partner-2", &stranger)
	p.cas = route.NewClientCAs(policy.Ref{Kind: "Secret", Namespace: "demo", Name: "ca"}, []*x509.Certificate{ca.Leaf}, nil)
	return p
}

func issue(t *testing.T, name string, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(crand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
