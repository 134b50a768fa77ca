package policy

import (
	"strings"
	"testing"
)

// TestURLRedirects: redirects of an Ingress as ingress-nginx makes them, or the Ingress is closed.
func TestURLRedirects(t *testing.T) {
	const there = "https://new.test/x?a=b"
	redirect := func(status int, to string) Answer { return Answer{Status: status, Reason: Redirected, Location: to} }
	closed := Answer{Status: 503, Reason: BadAnnotation}
	for _, c := range []struct {
		permanent, code, temporal, temporalCode string
		want                                    Answer
	}{
		{permanent: there, want: redirect(301, there)},
		{temporal: there, want: redirect(302, there)},
		{permanent: "https://other.test", temporal: there, code: "308", want: redirect(302, there)},
		{permanent: there, code: "308", want: redirect(308, there)},
		{permanent: there, code: "303", want: redirect(303, there)},
		{permanent: there, code: "200", want: redirect(301, there)},
		{permanent: there, code: "309", want: redirect(301, there)},
		{permanent: there, code: "-1", want: redirect(301, there)},
		{permanent: there, code: "300", want: Answer{Status: 300, Reason: Redirected, Body: there}},
		{permanent: there, code: "305", want: Answer{Status: 305, Reason: Redirected, Body: there}},
		{permanent: there, code: "304", want: Answer{Status: 304, Reason: Redirected}},
		{temporal: there, temporalCode: "307", want: redirect(307, there)},
		{temporal: there, temporalCode: "308", want: redirect(302, there)},
		{temporal: there, code: "308", want: redirect(302, there)},
		{permanent: "/local", want: redirect(301, "http://shop.test/local")},
		{permanent: "new.test/x", want: redirect(301, "new.test/x")},
		{permanent: " " + there + " ", want: redirect(301, there)},
		{permanent: "", code: "308"},
		{permanent: there, code: "abc", want: closed},
		{permanent: "https://new.test$request_uri", want: closed},
		{permanent: "https://new.test/a%20b", want: closed},
		{permanent: "https://new.test/a b", want: closed},
		{permanent: "https://new.test/\r\nX-A: b", want: closed},
		{temporal: "https://new.test/{x}", want: closed},
		{temporal: "$scheme://new.test", permanent: there, want: closed},
	} {
		set := parsed(t, map[string]string{"permanent-redirect": c.permanent, "permanent-redirect-code": c.code, "temporal-redirect": c.temporal, "temporal-redirect-code": c.temporalCode})
		if got := early(set); got != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// TestURLRedirectsGoFirst: before the redirect to HTTPS and before rules of access, but after a snippet that keeps requests out.
func TestURLRedirectsGoFirst(t *testing.T) {
	const there = "https://new.test/"
	for other, want := range map[string]int{"force-ssl-redirect=true": 301, "whitelist-source-range=10.0.0.0/8": 301, "auth-url=http://a/": 301, "configuration-snippet=deny all;": 503} {
		name, value, _ := strings.Cut(other, "=")
		if got := early(parsed(t, map[string]string{"permanent-redirect": there, name: value})); got.Status != want {
			t.Errorf("with %s: %+v, want %d", other, got, want)
		}
	}
}

func parsed(t *testing.T, options map[string]string) *Set {
	t.Helper()
	values := map[string]string{}
	for name, value := range options {
		values["nginx.ingress.kubernetes.io/"+name] = value
	}
	set, _ := Parse(Default(), Input{Object: Ref{Kind: "Ingress", Namespace: "demo", Name: "a"}, Values: values, Prefixes: []string{"nginx.ingress.kubernetes.io/"}})
	return set
}

func early(set *Set) Answer {
	return set.Early(&Request{Method: "GET", Scheme: "http", Named: "shop.test", Host: "seen.test", Path: "/", Target: "/?q"}, false)
}
