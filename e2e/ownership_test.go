//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// disputed is a scene with an owner's namespace, where there are Ingresses of
// 2024, and another's, whose Ingresses come in a later year.
type disputed struct {
	owner, other *scene
	ownCA        *cluster.Authority
	otherCA      *cluster.Authority
}

func newDisputed(t *testing.T) *disputed {
	t.Helper()
	d := &disputed{owner: folderScene(t)}
	other := *d.owner
	other.namespace = d.owner.namespace + "-other"
	d.other = &other
	d.owner.backend("web")
	d.other.backend("thief")
	var err error
	if d.ownCA, err = cluster.NewAuthority("owner"); err != nil {
		t.Fatal(err)
	}
	if d.otherCA, err = cluster.NewAuthority("other"); err != nil {
		t.Fatal(err)
	}
	return d
}

// since applies an Ingress that was made on New Year of a year.
func (s *scene) since(year int, name, spec string, annotations ...string) {
	s.t.Helper()
	s.apply(fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  creationTimestamp: \"%d-01-01T00:00:00Z\"\n"+
		"  annotations: {%s}\nspec:\n  ingressClassName: $class\n%s", name, year, strings.Join(annotations, ", "), indent(spec)))
}

// rule is a rule for a host with one path to a Service.
func rule(host, path, service string) string {
	return fmt.Sprintf("rules: [{host: %q, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}]}}]", host, path, service)
}

func entry(host, secret string) string {
	return fmt.Sprintf("tls: [{hosts: [%q], secretName: %s}]\n", host, secret)
}

// tells waits for one diagnostic that holds all parts.
func (u *usher) tells(parts ...string) {
	u.t.Helper()
	await(u.t, func() error {
		shown := read(u.t, u.admin+"/debug/diagnostics")
		for line := range strings.Lines(shown) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return nil
			}
		}
		return fmt.Errorf("/debug/diagnostics shows no line with %q:\n%s", parts, shown)
	})
}

// leafOf is the certificate that a handshake for a host shows.
func (u *usher) leafOf(host string, config *tls.Config) (*x509.Certificate, error) {
	config.ServerName = host
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", u.address+":443")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func TestAHostBelongsToItsOldestNamespace(t *testing.T) {
	d := newDisputed(t)
	old, err := d.ownCA.ServerRSA("keys.example")
	if err != nil {
		t.Fatal(err)
	}
	d.owner.secret("rsa", old)
	d.other.secret("ecdsa", newPair(t, d.otherCA, "keys.example"))
	d.other.secret("wild", newPair(t, d.otherCA, "*.plain.example"))
	d.other.apply(fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: ca}\nstringData:\n  ca.crt: |\n%s", indent(indent(string(d.otherCA.PEM())))))

	d.owner.since(2024, "keys", entry("keys.example", "rsa")+rule("keys.example", "/", "web"))
	d.other.since(2025, "keys", entry("keys.example", "ecdsa")+rule("keys.example", "/more", "thief"))
	d.other.since(2023, "wild", entry("*.plain.example", "wild")+rule("mine.plain.example", "/", "thief"))
	d.owner.since(2024, "plain", rule("shop.plain.example", "/", "web"))
	for _, host := range []string{"pass", "weak", "asked", "rest"} {
		d.owner.since(2024, host, rule(host+".example", "/api", "web"))
	}
	d.other.since(2025, "pass", rule("pass.example", "/", "thief"), `usher.dev/ssl-passthrough: "true"`)
	d.other.since(2025, "weak", rule("weak.example", "/more", "thief"), "usher.dev/ssl-protocols: TLSv1", "usher.dev/ssl-ciphers: AES128-SHA")
	d.other.since(2025, "asked", rule("asked.example", "/more", "thief"), "usher.dev/auth-tls-secret: "+d.other.namespace+"/ca")
	d.other.since(2025, "rest", "defaultBackend: {service: {name: thief, port: {number: 80}}}\n"+rule("rest.example", "/more", "thief"))
	d.other.since(2025, "all", "defaultBackend: {service: {name: thief, port: {number: 80}}}")
	u := d.owner.usher("--enable-ssl-passthrough")
	both := func(host string) {
		u.tells("host-shared Ingress "+d.owner.namespace+"/", "Ingress "+d.other.namespace+"/", host)
		u.tells("host-not-owned Ingress "+d.other.namespace+"/", "Ingress "+d.owner.namespace+"/", host)
	}

	t.Run("certificate of another kind of key", func(t *testing.T) {
		u.expect("https://keys.example/", "web")
		u.expect("https://keys.example/more", "thief")
		if _, err := u.leafOf("keys.example", &tls.Config{RootCAs: d.ownCA.Pool()}); err != nil {
			t.Errorf("the owner's certificate: %v", err)
		}
		ecdsa := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
		if leaf, err := u.leafOf("keys.example", ecdsa); err == nil {
			t.Errorf("a client that wants ECDSA is shown a certificate of %s", leaf.Issuer)
		}
		both("keys.example")
	})
	t.Run("wildcard above a plain host", func(t *testing.T) {
		u.expect("http://shop.plain.example/", "web")
		u.expect("http://mine.plain.example/", "308 https-redirect")
		if leaf, err := u.leafOf("shop.plain.example", &tls.Config{RootCAs: d.otherCA.Pool()}); err == nil {
			t.Errorf("shows the certificate of %s", leaf.Subject)
		}
		if _, err := u.leafOf("mine.plain.example", &tls.Config{RootCAs: d.otherCA.Pool()}); err != nil {
			t.Errorf("its own host: %v", err)
		}
		both("shop.plain.example")
	})
	t.Run("passthrough", func(t *testing.T) {
		u.expect("https://pass.example/api", "web")
		u.expect("https://pass.example/", "503 passthrough-path")
		both("pass.example")
	})
	t.Run("handshake settings", func(t *testing.T) {
		u.expect("https://weak.example/api", "web")
		weak := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}
		if _, err := u.leafOf("weak.example", weak); err == nil {
			t.Error("TLS 1.0 with AES128-SHA is agreed on")
		}
		both("weak.example")
	})
	t.Run("client certificate", func(t *testing.T) {
		asked := false
		config := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil
		}}
		if a, err := get(u.newClient(config), "https://asked.example/api"); err != nil || a.String() != "web" || asked {
			t.Errorf("answered %v, %v; asked for a certificate: %v", a, err, asked)
		}
		u.expect("https://asked.example/more", "503 host-not-owned")
		both("asked.example")
	})
	t.Run("default backends", func(t *testing.T) {
		u.expect("http://rest.example/other", "404 no-path")
		u.expect("http://rest.example/more", "thief")
		u.expect("http://nobody.example/", "thief")
		both("rest.example")
	})
}

func TestForeignPathsAreRefused(t *testing.T) {
	d := newDisputed(t)
	d.owner.since(2024, "shop", rule("shop.example", "/", "web"))
	d.owner.since(2024, "any", "rules: [{http: {paths: [{path: /any, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]")
	d.other.since(2025, "shop", rule("shop.example", "/pay", "thief"))
	d.other.since(2025, "canary", rule("shop.example", "/", "thief"), `usher.dev/canary: "true"`, `usher.dev/canary-weight: "100"`)
	d.other.since(2025, "all", "defaultBackend: {service: {name: thief, port: {number: 80}}}")
	d.other.since(2025, "own", rule("own.example", "/", "thief"))
	u := d.owner.usher("--host-ownership=namespace")
	u.expect("http://shop.example/pay", "web")
	u.expect("http://shop.example/", "web")
	u.expect("http://nobody.example/any", "web")
	u.expect("http://nobody.example/", "404 no-path")
	u.expect("http://own.example/", "thief")
	u.tells("host-not-owned Ingress "+d.other.namespace+"/shop ", "shop.example", "--host-ownership=namespace")
	u.tells("host-not-owned Ingress "+d.other.namespace+"/all ", "--host-ownership=namespace")
	u.tells("host-shared Ingress "+d.owner.namespace+"/shop ", "shop.example", "Ingress "+d.other.namespace+"/")

	shared := d.owner.usher()
	shared.expect("http://shop.example/pay", "thief")
	shared.expect("http://shop.example/", "web")
	shared.tells("host-shared Ingress "+d.owner.namespace+"/shop ", "/pay")
}

// TestANamespaceThatEndsGivesItsHosts moves a host from one namespace to another
// as people do: the new Ingress, then the deletion of the old namespace, whose
// Pods go before its Ingress.
func TestANamespaceThatEndsGivesItsHosts(t *testing.T) {
	d := newDisputed(t)
	d.owner.since(2024, "shop", rule("shop.example", "/", "web"))
	d.other.since(2025, "shop", rule("shop.example", "/", "thief"))
	u := d.owner.usher()
	u.expect("http://shop.example/", "web")
	namespace := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, deletionTimestamp: \"2026-01-01T00:00:00Z\"}\n", d.owner.namespace)
	if err := os.WriteFile(filepath.Join(d.owner.folder, "namespace.yaml"), []byte(namespace), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, func() error {
		a, err := u.get("http://shop.example/")
		if err == nil && a.StatusCode != http.StatusOK {
			t.Fatalf("answered %s while the host moved", a)
		}
		return answers(u.client, "http://shop.example/", "thief")
	})
	d.owner.slice("web", "")
	d.owner.since(2024, "marker", rule("marker.example", "/", "web"))
	await(t, func() error { return answers(u.client, "http://marker.example/", "503 no-endpoints") })
	u.expect("http://shop.example/", "thief")
}
