package policy

import (
	"os"
	"strings"
	"testing"
)

// TestRestrictingSnippets reads testdata/snippets.txt, where snippets are separated by "----" and grouped under what becomes of them.
func TestRestrictingSnippets(t *testing.T) {
	text, err := os.ReadFile("testdata/snippets.txt")
	if err != nil {
		t.Fatal(err)
	}
	groups := strings.Split(string(text), "==== ")[1:]
	for _, group := range groups {
		what, snippets, _ := strings.Cut(group, "\n")
		for snippet := range strings.SplitSeq(snippets, "\n----\n") {
			if got := restriction(snippet); (got != "") != (what == "closes") {
				t.Errorf("%s: %q gives %q", what, snippet, got)
			}
		}
	}
	if len(groups) != 2 {
		t.Errorf("%d groups", len(groups))
	}
}

// TestRestrictionIsQuoted: what is reported is the directive as it is written.
func TestRestrictionIsQuoted(t *testing.T) {
	for snippet, want := range map[string]string{
		"allow 10.0.0.0/8; deny all;":           "allow 10.0.0.0/8",
		"location /actuator { deny all; }":      "deny all",
		"if ($host = x) {\n  return 403;\n}":    "return 403",
		"auth_request off;\nauth_request /a;":   "auth_request /a",
		"access_by_lua_block { ngx.exit(403) }": "access_by_lua_block",
		"return 404":                            "a directive or block is not ended",
	} {
		if got := restriction(snippet); got != want {
			t.Errorf("%q: got %q, want %q", snippet, got, want)
		}
	}
}

// TestRestrictingSnippetsClose: what a snippet kept out in ingress-nginx does not get in here.
func TestRestrictingSnippetsClose(t *testing.T) {
	for value, want := range map[string]Reason{"deny all;": RefusedAnnotation, "add_header A b;": ""} {
		for _, name := range []string{"configuration-snippet", "server-snippet", "stream-snippet"} {
			set, problems := Parse(Default(), Input{Object: Ref{Kind: "Ingress", Namespace: "demo", Name: "a"},
				Values: map[string]string{"nginx.ingress.kubernetes.io/" + name: value}, Prefixes: []string{"nginx.ingress.kubernetes.io/"}})
			if set.Deny != want || len(problems) != 1 || problems[0].Error != (want != "") {
				t.Errorf("%s %q: %q %+v", name, value, set.Deny, problems)
			}
			if set.DenyHost != (want != "" && name == "server-snippet") {
				t.Errorf("%s %q: closes the host: %v", name, value, set.DenyHost)
			}
		}
		for _, key := range []string{"http-snippet", "server-snippet", "location-snippet", "main-snippet"} {
			if set, _ := ParseConfigMap(Default(), Input{Values: map[string]string{key: value}}); (set.Deny != "") != (want != "") {
				t.Errorf("ConfigMap %s %q: %q", key, value, set.Deny)
			}
		}
	}
}

// FuzzRestriction: a text is read the same when every word is quoted and every space is another one, and what follows a harmless text
// still counts.
func FuzzRestriction(f *testing.F) {
	text, err := os.ReadFile("testdata/snippets.txt")
	if err != nil {
		f.Fatal(err)
	}
	for snippet := range strings.SplitSeq(string(text), "\n----\n") {
		f.Add(snippet)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := restriction(text)
		if got == "" && restriction(text+"\ndeny all;") != "deny all" {
			t.Fatalf("what follows %q is not read", text)
		}
		respelled, err := respell(text)
		if err == nil && (restriction(respelled) == "") != (got == "") {
			t.Fatalf("%q is %q, and as %q %q", text, got, respelled, restriction(respelled))
		}
	})
}

// respell writes the same tokens in another way.
func respell(text string) (string, error) {
	var b strings.Builder
	r := nginxReader{text: text}
	for {
		word, kind, err := r.next()
		if err != nil || kind == nginxEnd {
			return b.String(), err
		}
		if kind != nginxWord {
			b.WriteString(map[nginxToken]string{nginxSemicolon: ";", nginxOpen: "{", nginxClose: "}"}[kind])
			continue
		}
		b.WriteString("# deny all;\n\t\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + "\" ")
	}
}

// TestOnlySwitchesAreOff: a restriction that is no boolean is not lifted by a value that looks like one.
func TestOnlySwitchesAreOff(t *testing.T) {
	for option, open := range map[string]bool{
		"enable-modsecurity=false": true, "enable-modsecurity=true": false, "secure-backends=false": true,
		"whitelist-source-range=0": false, "denylist-source-range=off": false, "auth-url=off": false, "auth-type=f": false, "auth-secret=false": false,
	} {
		name, value, _ := strings.Cut(option, "=")
		if set := parsed(t, map[string]string{name: value}); (set.Deny == "") != open {
			t.Errorf("%s: %q", option, set.Deny)
		}
	}
}
