package policy

import "testing"

func TestRestrictingSnippets(t *testing.T) {
	for snippet, want := range map[string]string{
		"":                                      "",
		"more_set_headers \"X-A: b\";":          "",
		"proxy_set_header X-Deny deny;":         "",
		"# deny all;\nadd_header A b; # deny":   "",
		"auth_basic off;":                       "",
		"return 301 https://example.com;":       "",
		"allow 10.0.0.0/8; deny all;":           "deny all",
		"deny all;":                             "deny all",
		"location /actuator { deny all; }":      "deny all",
		"if ($host = x) {\n  return 403;\n}":    "return 403",
		"auth_request off;\nauth_request /a;":   "auth_request /a",
		"access_by_lua_block { ngx.exit(403) }": "access_by_lua_block",
		"limit_except GET { deny all; }":        "limit_except GET",
	} {
		if got := restriction(snippet); got != want {
			t.Errorf("%q: got %q, want %q", snippet, got, want)
		}
	}
}

// TestRestrictingSnippetsClose: what a snippet kept out in ingress-nginx does not get in here.
func TestRestrictingSnippetsClose(t *testing.T) {
	for value, want := range map[string]Reason{"deny all;": RefusedAnnotation, "add_header A b;": ""} {
		for _, name := range []string{"configuration-snippet", "server-snippet"} {
			set, problems := Parse(Default(), Input{Object: Ref{Kind: "Ingress", Namespace: "demo", Name: "a"},
				Values: map[string]string{"nginx.ingress.kubernetes.io/" + name: value}, Prefixes: []string{"nginx.ingress.kubernetes.io/"}})
			if set.Deny != want || len(problems) != 1 || problems[0].Error != (want != "") {
				t.Errorf("%s %q: %q %+v", name, value, set.Deny, problems)
			}
		}
	}
}
