//go:build e2e

package e2e

import (
	"testing"
)

func TestPaths(t *testing.T) {
	s := newScene(t)
	for _, name := range []string{"root", "exact", "prefix", "longer", "any"} {
		s.backend(name)
	}
	s.ingress("paths", `
rules:
- host: paths.example
  http:
    paths:
    - {path: /, pathType: Prefix, backend: {service: {name: root, port: {number: 80}}}}
    - {path: /shop, pathType: Prefix, backend: {service: {name: prefix, port: {number: 80}}}}
    - {path: /shop, pathType: Exact, backend: {service: {name: exact, port: {number: 80}}}}
    - {path: /shop/cart/, pathType: Prefix, backend: {service: {name: longer, port: {name: http}}}}
    - {path: /any, pathType: ImplementationSpecific, backend: {service: {name: any, port: {number: 80}}}}
- host: exact.example
  http:
    paths:
    - {path: /foo, pathType: Exact, backend: {service: {name: exact, port: {number: 80}}}}
    - {path: /bar/, pathType: Exact, backend: {service: {name: longer, port: {number: 80}}}}
`)
	u := s.usher()
	for url, want := range map[string]string{
		"http://paths.example/":                "root",
		"http://paths.example/shop":            "exact",
		"http://paths.example/shop?a=b":        "exact",
		"http://paths.example/shop/":           "prefix",
		"http://paths.example/shop/shoes":      "prefix",
		"http://paths.example/shopping":        "root",   // a prefix ends where an element ends
		"http://paths.example/Shop":            "root",   // case matters
		"http://paths.example/shop/cart":       "longer", // the trailing slash of a prefix does not
		"http://paths.example/shop/cart/1":     "longer",
		"http://paths.example/shop/cartridges": "prefix",
		"http://paths.example/any/thing":       "any",
		"http://exact.example/foo":             "exact",
		"http://exact.example/foo/":            "404 no-path",
		"http://exact.example/bar":             "404 no-path",
		"http://exact.example/bar/":            "longer",
		"http://exact.example/":                "404 no-path",
		"http://unknown.example/":              "404 no-host",
	} {
		u.expect(url, want)
	}
}

func TestHosts(t *testing.T) {
	s := newScene(t)
	for _, name := range []string{"exact", "wild", "anyone"} {
		s.backend(name)
	}
	s.route("exact", "shop.hosts.example", "/", "exact")
	s.route("wild", "*.hosts.example", "/", "wild")
	u := s.usher()
	for url, want := range map[string]string{
		"http://shop.hosts.example/":      "exact",
		"http://SHOP.Hosts.example:80/":   "exact",
		"http://other.hosts.example/":     "wild",
		"http://two.labels.hosts.example": "404 no-host", // a wildcard is one label
		"http://hosts.example/":           "404 no-host",
	} {
		u.expect(url, want)
	}
	s.ingress("anyone", `rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: anyone, port: {number: 80}}}}]}}]`)
	u.expect("http://two.labels.hosts.example", "anyone")
	u.expect("http://shop.hosts.example/", "exact")
}

func TestDefaultBackend(t *testing.T) {
	s := newScene(t)
	for _, name := range []string{"page", "rest"} {
		s.backend(name)
	}
	s.ingress("shop", `
defaultBackend: {service: {name: rest, port: {number: 80}}}
rules:
- host: default.example
  http: {paths: [{path: /page, pathType: Prefix, backend: {service: {name: page, port: {number: 80}}}}]}
`)
	s.route("other", "other.example", "/page", "page")
	u := s.usher()
	u.expect("http://default.example/page", "page")
	u.expect("http://default.example/elsewhere", "rest")
	u.expect("http://other.example/page", "page")
}

func TestBackends(t *testing.T) {
	s := newScene(t)
	s.apply(`
{apiVersion: v1, kind: Service, metadata: {name: two}, spec: {ports: [
  {name: web, port: 80, targetPort: web}, {name: admin, port: 9000, targetPort: 9090}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: two, labels: {kubernetes.io/service-name: two}}
addressType: IPv4
ports: [{name: web, port: 8081}, {name: admin, port: 9090}]
endpoints: [{addresses: [10.244.250.1]}]
`)
	s.listen("web-port", "10.244.250.1:8081") // no ready condition means ready
	s.listen("admin-port", "10.244.250.1:9090")
	s.service("six")
	s.slice("six", `{addresses: ["fd00:10:244::6"], conditions: {ready: true}}`)
	s.listen("over-ipv6", "[fd00:10:244::6]:8080")
	s.service("empty")
	s.service("down")
	s.slice("down", `{addresses: [10.244.250.2], conditions: {ready: false, serving: false}}`)
	s.service("ending")
	s.slice("ending", `{addresses: [10.244.250.3], conditions: {ready: false, serving: true, terminating: true}}`)
	s.listen("ending", "10.244.250.3:8080")
	s.service("closed")
	s.slice("closed", `{addresses: [10.244.250.4], conditions: {ready: true}}`) // nobody listens
	s.apply(`{apiVersion: v1, kind: Service, metadata: {name: inward}, spec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}}`)
	s.ingress("backends", `
rules:
- host: backends.example
  http:
    paths:
    - {path: /web, pathType: Prefix, backend: {service: {name: two, port: {name: web}}}}
    - {path: /admin, pathType: Prefix, backend: {service: {name: two, port: {number: 9000}}}}
    - {path: /six, pathType: Prefix, backend: {service: {name: six, port: {number: 80}}}}
    - {path: /ending, pathType: Prefix, backend: {service: {name: ending, port: {number: 80}}}}
    - {path: /missing, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}
    - {path: /port, pathType: Prefix, backend: {service: {name: two, port: {number: 81}}}}
    - {path: /empty, pathType: Prefix, backend: {service: {name: empty, port: {number: 80}}}}
    - {path: /down, pathType: Prefix, backend: {service: {name: down, port: {number: 80}}}}
    - {path: /closed, pathType: Prefix, backend: {service: {name: closed, port: {number: 80}}}}
    - {path: /inward, pathType: Prefix, backend: {service: {name: inward, port: {number: 80}}}}
    - {path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}
`)
	u := s.usher()
	for path, want := range map[string]string{
		"/":        "web-port",
		"/web":     "web-port",
		"/admin":   "admin-port",
		"/six":     "over-ipv6",
		"/ending":  "ending",         // the last resort
		"/missing": "503 no-service", // and never what / has
		"/port":    "503 no-port",
		"/empty":   "503 no-endpoints",
		"/down":    "503 no-ready-endpoints",
		"/closed":  "502 endpoint-refused",
		"/inward":  "503 external-name-refused",
	} {
		u.expect("http://backends.example"+path, want)
	}
}

// TestConflict has two Ingresses that want the same path.
func TestConflict(t *testing.T) {
	s := newScene(t)
	s.backend("first")
	s.backend("second")
	s.route("zebra", "conflict.example", "/", "first")
	u := s.usher()
	u.expect("http://conflict.example/", "first")
	awaitNextSecond()
	s.ingress("aardvark", `
rules:
- host: conflict.example
  http:
    paths:
    - {path: /, pathType: Prefix, backend: {service: {name: second, port: {number: 80}}}}
    - {path: /own, pathType: Prefix, backend: {service: {name: second, port: {number: 80}}}}
`)
	u.expect("http://conflict.example/own", "second")
	u.expect("http://conflict.example/", "first") // the older one keeps it
	s.remove("Ingress", "zebra")
	u.expect("http://conflict.example/", "second")
}

func TestClasses(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.makeNamespace("classes-foreign")
	ingress := func(name, class, annotations string) {
		t.Helper()
		s.apply(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ` + name + `, annotations: {` + annotations + `}}
spec:
  ` + class + `
  rules: [{host: ` + name + `.classes.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`)
	}
	s.apply(`{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: classes-other}, spec: {controller: example.com/other}}`)
	s.apply(`{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: classes-second}, spec: {controller: usher.dev/$class}}`)
	ingress("other", "ingressClassName: classes-other", "")
	ingress("nowhere", "ingressClassName: classes-nowhere", "")
	ingress("none", "", "")
	ingress("legacy", "", "kubernetes.io/ingress.class: $class")
	ingress("legacy-other", "", "kubernetes.io/ingress.class: other")
	ingress("second", "ingressClassName: classes-second", "")
	ingress("named", "ingressClassName: $class", "") // created last: when it serves, the others were seen

	u := s.usher()
	for name, want := range map[string]string{
		"named": "web", "second": "web", "legacy": "web",
		"other": "404 no-host", "nowhere": "404 no-host", "none": "404 no-host", "legacy-other": "404 no-host",
	} {
		u.expect("http://"+name+".classes.example/", want)
	}

	eager := s.usher("--watch-ingress-without-class")
	eager.expect("http://none.classes.example/", "web")
	eager.expect("http://other.classes.example/", "404 no-host")

	// A class that becomes the default one takes the Ingresses without a class,
	// those that exist and those that the API server gives it.
	s.apply(`{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: $class, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}, spec: {controller: usher.dev/$class}}`)
	t.Cleanup(func() { s.removeClass(s.class) })
	u.expect("http://none.classes.example/", "web")
	ingress("born", "", "")
	u.expect("http://born.classes.example/", "web")
}
