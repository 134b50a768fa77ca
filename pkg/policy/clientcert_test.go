package policy

import (
	"strings"
	"testing"
)

// parseAll reads annotations under ingress-nginx's prefix, written as "name: value".
func parseAll(lines ...string) (*Set, []Problem) {
	values := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		values["nginx.ingress.kubernetes.io/"+name] = value
	}
	return Parse(Default(), Input{Object: ingress, Values: values, Prefixes: []string{"usher.dev/", "nginx.ingress.kubernetes.io/"}})
}

func TestClientCertParses(t *testing.T) {
	set, problems := parseAll("auth-tls-secret: demo/ca", "auth-tls-verify-client: optional", "auth-tls-verify-depth: 2",
		"auth-tls-error-page: https://example.com/why?a=b", "auth-tls-pass-certificate-to-upstream: true", "auth-tls-match-cn: CN=(jane|joe)$")
	c := set.ClientCert
	if len(problems) > 0 || set.Deny != "" || c.Secret != (SecretName{"demo", "ca"}) || c.Verify != VerifyOptional || c.Depth != 2 ||
		c.ErrorPage != "https://example.com/why?a=b" || !c.Forward || c.CommonName == nil || c.Bad {
		t.Errorf("got %+v and %v", c, problems)
	}
	if set, problems = parseAll("auth-tls-secret: ca"); set.ClientCert.Secret != (SecretName{"", "ca"}) || len(problems) > 0 {
		t.Errorf("a name alone: %+v, %v", set.ClientCert.Secret, problems)
	}
}

// TestClientCertFailsClosed: a value that cannot be used closes the paths, also those that follow this Ingress.
func TestClientCertFailsClosed(t *testing.T) {
	for _, line := range []string{
		"auth-tls-secret: a/b/c", "auth-tls-secret: /ca", "auth-tls-secret: demo/", "auth-tls-verify-client: yes", "auth-tls-verify-depth: -1",
		"auth-tls-verify-depth: one", "auth-tls-match-cn: jane", "auth-tls-match-cn: CN=(", "auth-tls-match-cn: CN=(?!jane)", "auth-tls-match-cn: CN=a|b",
		"auth-tls-match-cn: CN=a,OU=b", "proxy-ssl-verify: maybe", "proxy-ssl-secret: x y", "proxy-ssl-name: a b", "proxy-ssl-verify-depth: x",
	} {
		set, problems := parseAll(line)
		if set.Deny != BadAnnotation || len(problems) != 1 || !problems[0].Error || !strings.Contains(problems[0].Message, "want ") {
			t.Errorf("%s: deny %q, %v", line, set.Deny, problems)
		}
		if !set.ClientCert.Bad && !set.UpstreamTLS.Bad {
			t.Errorf("%s leaves nothing behind", line)
		}
	}
}

// TestGroupsNeedTheirSecret: an option that restricts says nothing without the Secret, and is not skipped for that.
func TestGroupsNeedTheirSecret(t *testing.T) {
	for _, line := range []string{"auth-tls-verify-client: on", "auth-tls-match-cn: CN=jane", "proxy-ssl-verify: on"} {
		set, problems := parseAll(line)
		if set.Deny != BadAnnotation || len(problems) != 1 || !problems[0].Error || !strings.Contains(problems[0].Message, "-secret beside it") {
			t.Errorf("%s: deny %q, %v", line, set.Deny, problems)
		}
	}
	for _, line := range []string{"auth-tls-verify-client: off", "auth-tls-verify-client: optional", "proxy-ssl-verify: off", "auth-tls-verify-depth: 3", "proxy-ssl-server-name: on"} {
		set, problems := parseAll(line)
		if set.Deny != "" || len(problems) != 1 || problems[0].Error || problems[0].Reason != IneffectiveAnnotation {
			t.Errorf("%s: deny %q, %v", line, set.Deny, problems)
		}
	}
}

// TestErrorPageIsAURL: what is no URL leaves the 400.
func TestErrorPageIsAURL(t *testing.T) {
	for _, value := range []string{"/error", "ftp://example.com", "https://", "https://a/$host", "https://a/\"", "javascript:alert(1)", "https://a/é"} {
		if set, problems := parseAll("auth-tls-error-page: " + value); set.ClientCert.ErrorPage != "" || set.Deny != "" || len(problems) != 1 {
			t.Errorf("%s: %+v %v", value, set.ClientCert, problems)
		}
	}
}

func TestAdmit(t *testing.T) {
	var (
		none     = Verdict{}
		good     = Verdict{Shown: true}
		unknown  = Verdict{Shown: true, Failure: "self-signed certificate", Unknown: true}
		expired  = Verdict{Shown: true, Failure: "certificate has expired"}
		verdicts = []Verdict{none, good, unknown, expired}
	)
	for verify, want := range map[string]string{
		"on":             "no-client-certificate, , bad-client-certificate, bad-client-certificate",
		"optional":       ", , bad-client-certificate, bad-client-certificate",
		"optional_no_ca": ", , , bad-client-certificate",
		"off":            ", , , ",
	} {
		set, _ := parseAll("auth-tls-secret: demo/ca", "auth-tls-verify-client: "+verify)
		var got []string
		for _, v := range verdicts {
			a := set.ClientCert.Admit(v, nil)
			if a.Reason != "" && a.Status != 400 {
				t.Errorf("%s: %+v", verify, a)
			}
			got = append(got, string(a.Reason))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: got %s, want %s", verify, strings.Join(got, ", "), want)
		}
	}
	set, _ := parseAll("auth-tls-secret: demo/ca", "auth-tls-error-page: https://example.com/")
	if a := set.ClientCert.Admit(none, nil); a.Status != 302 || a.Location != "https://example.com/" {
		t.Errorf("got %+v", a)
	}
}

// TestMatchCN: the expression is tied to the beginning of a common name, and to nothing else of the subject.
func TestMatchCN(t *testing.T) {
	for _, c := range []struct {
		pattern string
		names   string
		in      bool
	}{
		{"CN=jane", "jane", true}, {"CN=jane", "janet", true}, {"CN=jane$", "janet", false}, {"CN=jane", "mary-jane", false},
		{"CN=(jane|joe)$", "joe", true}, {"CN=(jane|joe)$", "jim", false}, {"CN=jane", "", false}, {"CN=.*", "", false},
		{"CN=jane$", "jim jane", true}, // two names, one of which is meant
	} {
		set, problems := parseAll("auth-tls-secret: demo/ca", "auth-tls-match-cn: "+c.pattern, "auth-tls-verify-client: optional")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		a := set.ClientCert.Admit(Verdict{Shown: c.names != ""}, strings.Fields(c.names))
		if in := a.Status == 0; in != c.in || !in && (a.Status != 403 || a.Reason != ClientCertificateDenied) {
			t.Errorf("%s and %q: %+v", c.pattern, c.names, a)
		}
	}
}

func TestUpstreamTLSParses(t *testing.T) {
	set, problems := parseAll("proxy-ssl-secret: demo/up", "proxy-ssl-verify: on", "proxy-ssl-verify-depth: 0", "proxy-ssl-name: Inner.example.com",
		"proxy-ssl-server-name: on", "proxy-ssl-protocols: TLSv1.3", "proxy-ssl-ciphers: ECDHE-RSA-AES128-GCM-SHA256")
	want := UpstreamTLS{Secret: SecretName{"demo", "up"}, Verify: true, Name: "inner.example.com", SNI: true, Min: 0x304, Max: 0x304, Ciphers: "ECDHE-RSA-AES128-GCM-SHA256"}
	if set.UpstreamTLS != want || len(problems) > 0 || len(set.UpstreamTLS.CipherSuites()) != 1 {
		t.Errorf("got %+v, %v", set.UpstreamTLS, problems)
	}
	set, problems = parseAll("proxy-ssl-secret: demo/up", "proxy-ssl-protocols: SSLv3", "proxy-ssl-ciphers: RC4-SHA", "proxy-ssl-server-name: maybe")
	if d := defaultUpstreamTLS(); len(problems) != 3 || set.Deny != "" || set.UpstreamTLS.Min != d.Min || set.UpstreamTLS.Max != d.Max {
		t.Errorf("got %+v, %v", set.UpstreamTLS, problems)
	}
}

func TestVerdictIsNginxs(t *testing.T) {
	for v, want := range map[Verdict]string{{}: "NONE", {Shown: true}: "SUCCESS", {Shown: true, Failure: "certificate revoked"}: "FAILED:certificate revoked"} {
		if v.String() != want {
			t.Errorf("got %q, want %q", v, want)
		}
	}
}
