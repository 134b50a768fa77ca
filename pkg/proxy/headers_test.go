package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
)

func TestHopByHopFieldsEndHere(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	_, body := r.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n" +
		"Proxy-Connection: x\r\nProxy-Authorization: x\r\nTe: gzip\r\nProxy: http://evil\r\nX-Kept: 1\r\nUpgrade: websocket\r\n\r\n")
	lacks(t, body, "X-Secret", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te:", "Proxy:", "Connection", "Upgrade")
	wants(t, body, "X-Kept: 1")
}

func TestResponseFieldsOfTheConnectionEndHere(t *testing.T) {
	upstream := raw(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nServer: secret/1.0\r\n"+
			"Upgrade: h2c\r\nX-Kept: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok")
	})
	r := newRig(t, tableOf([]string{upstream}))
	res, body := r.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	if res.StatusCode != 200 || body != "ok" {
		t.Fatal(res.Status, body)
	}
	for _, name := range []string{"X-Own", "Keep-Alive", "Server", "Upgrade", "Strict-Transport-Security", "X-Usher-Reason"} {
		if v := res.Header.Get(name); v != "" {
			t.Errorf("%s: %s", name, v)
		}
	}
	if len(res.Header["Set-Cookie"]) != 2 || res.Header.Get("X-Kept") != "1" {
		t.Errorf("lost fields: %v", res.Header)
	}
}

func TestForwardedFieldsOfStrangersAreReplaced(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	_, body := r.get("/", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1",
		"X-Real-Ip: 6.6.6.6", "X-Scheme: https", "X-Original-Forwarded-For: 5.5.5.5", "X-Request-Id: mine")
	wants(t, body, "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Host: app.test\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Port: 80\r\n",
		"X-Real-Ip: 127.0.0.1\r\n", "X-Scheme: http\r\n", "X-Original-Forwarded-For: 6.6.6.6\r\n", "X-Original-Forwarded-Host: evil.test\r\n",
		"X-Request-Id: mine\r\n", "Host: app.test\n")
	lacks(t, body, "5.5.5.5")
	_, body = r.get("/", "X-Original-Forwarded-For: 5.5.5.5", "X-Original-Forwarded-Host: evil.test")
	lacks(t, body, "X-Original")
	if id := regexp.MustCompile(`X-Request-Id: [0-9a-f]{32}\r`); !id.MatchString(body) {
		t.Errorf("no request id in %s", body)
	}
}

// TestOnlyTrustedPeersSpeakOfForwarding: fields that Usher says nothing about itself come from strangers as often as from proxies.
func TestOnlyTrustedPeersSpeakOfForwarding(t *testing.T) {
	sent := []string{"X-Forwarded-Prefix: /evil", "X-Forwarded-Ssl: on", "x-forwarded-user: root", "Forwarded: for=6.6.6.6;proto=https"}
	for name, c := range map[string]struct {
		set  func(*policy.Forwarded)
		pass bool
	}{
		"nobody is trusted": {func(*policy.Forwarded) {}, false},
		"the address alone": {func(f *policy.Forwarded) { f.RealIP = true }, false},
		"forwarded headers": {func(f *policy.Forwarded) { f.Use = true }, true},
		"forwarded headers of others": {func(f *policy.Forwarded) {
			f.Use, f.Trusted = true, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}, false},
	} {
		r := newRig(t, tableOf([]string{app(t, echo)}, with(func(s *policy.Set) { c.set(&s.Forwarded) })))
		_, body := r.get("/", sent...)
		t.Log(name)
		if c.pass {
			wants(t, body, "X-Forwarded-Prefix: /evil", "X-Forwarded-Ssl: on", "X-Forwarded-User: root", "Forwarded: for=6.6.6.6")
			continue
		}
		lacks(t, body, "/evil", "Ssl: on", "root", "6.6.6.6")
	}
}

func TestForwardedFieldsOfTrustedPeers(t *testing.T) {
	trust := func(more func(*policy.Forwarded)) func(*policy.Set) {
		return func(s *policy.Set) {
			s.Forwarded.Use = true
			s.Forwarded.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
			if more != nil {
				more(&s.Forwarded)
			}
		}
	}
	came := []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9", "X-Forwarded-Host: public.test", "X-Forwarded-Proto: https", "X-Forwarded-Port: 8443"}
	for _, c := range []struct {
		name  string
		set   func(*policy.Set)
		wants []string
	}{
		{"all of them", trust(nil), []string{"X-Forwarded-For: 1.2.3.4\r\n", "X-Real-Ip: 1.2.3.4\r\n", "Host: public.test\n", "X-Forwarded-Host: public.test\r\n",
			"X-Forwarded-Proto: https\r\n", "X-Scheme: https\r\n", "X-Forwarded-Scheme: https\r\n", "X-Forwarded-Port: 8443\r\n",
			"X-Original-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9\r\n"}},
		{"the whole chain", trust(func(f *policy.Forwarded) { f.ComputeFull = true }), []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9, 127.0.0.1\r\n", "X-Real-Ip: 1.2.3.4\r\n"}},
		{"the address only", trust(func(f *policy.Forwarded) { f.Use, f.RealIP = false, true }), []string{"X-Real-Ip: 1.2.3.4\r\n", "Host: app.test\n", "X-Forwarded-Proto: http\r\n"}},
		{"another header", trust(func(f *policy.Forwarded) { f.Header = "Cf-Connecting-Ip" }), []string{"X-Real-Ip: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n"}},
		{"not from here", trust(func(f *policy.Forwarded) { f.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }), []string{"X-Real-Ip: 127.0.0.1\r\n", "Host: app.test\n", "X-Forwarded-Proto: http\r\n"}},
		{"with the URI", func(s *policy.Set) { s.Forwarded.OriginalURI = true }, []string{"X-Original-Uri: /x?y\r\n"}},
		{"another host upstream", func(s *policy.Set) { s.Upstream.VHost = "inner.test" }, []string{"Host: inner.test\n", "X-Forwarded-Host: app.test\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, body := newRig(t, tableOf([]string{app(t, echo)}, with(c.set))).get("/x?y", came...)
			wants(t, body, c.wants...)
		})
	}
}

func TestTargetsGoUpstreamAsTheyCame(t *testing.T) {
	upstream := raw(t, func(c net.Conn) {
		head, _ := readHead(c)
		line, _, _ := cut(head, "\r\n")
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(line), line)
	})
	r := newRig(t, tableOf([]string{upstream}))
	for _, target := range []string{"/", "/a%2Fb", "//x//y", "/%41?q=%41", "/a/./b/../c", "/?", "/a?b?c", "/a;b=c", "/%e2%82%ac", "/a|b^c`{}", "/a+b%20c"} {
		res, body := r.send("GET " + target + " HTTP/1.1\r\nHost: app.test\r\n\r\n")
		if want := "GET " + target + " HTTP/1.1"; body != want && res.StatusCode != 400 {
			t.Errorf("%q went on as %q", target, body)
		}
	}
	_, body := r.send("GET http://app.test/a?b HTTP/1.1\r\nHost: app.test\r\n\r\n")
	wants(t, body, "GET /a?b HTTP/1.1")
}

func cut(s, sep string) (string, string, bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if s[i:i+len(sep)] == sep {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

func TestOverTLS(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2=%v", h2), func(t *testing.T) {
			upstream := app(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Strict-Transport-Security", "max-age=1")
				echo(w, r)
			})
			r := newRig(t, tableOf([]string{upstream}))
			res, err := r.client(h2).Get("https://app.test/a?b")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			wants(t, string(body), "GET /a?b HTTP/1.1", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Port: 443\r\n", "X-Scheme: https\r\n")
			if got := res.Header["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=31536000; includeSubDomains" {
				t.Errorf("Strict-Transport-Security: %q", got)
			}
		})
	}
}

func TestRedirectsComeFirst(t *testing.T) {
	table := tableOf(nil, with(func(s *policy.Set) { s.Redirect.ForceSSL = true }))
	r := newRig(t, table)
	res, _ := r.get("/a?b=c")
	status(t, res, 308, policy.HTTPSRedirect)
	if got := res.Header.Get("Location"); got != "https://app.test/a?b=c" {
		t.Errorf("Location: %s", got)
	}
	res, _ = r.get("/.well-known/acme-challenge/x")
	status(t, res, 503, policy.NoEndpoints)
	trusted := newRig(t, tableOf(nil, with(func(s *policy.Set) { s.Redirect.ForceSSL, s.Forwarded.Use = true, true })))
	res, _ = trusted.get("/", "X-Forwarded-Proto: https")
	status(t, res, 503, policy.NoEndpoints)
	res, _ = trusted.get("/", "X-Forwarded-Host: Public.test:8080")
	if got := res.Header.Get("Location"); got != "https://public.test" && got != "https://public.test/" {
		t.Errorf("Location: %s", got)
	}
}

func TestClosedRoutes(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}, with(func(s *policy.Set) { s.Deny = policy.UnsupportedAnnotation })))
	res, _ := r.get("/")
	status(t, res, 503, policy.UnsupportedAnnotation)
}
