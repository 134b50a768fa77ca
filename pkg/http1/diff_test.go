package http1

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The standard library's server is the oracle: given the same bytes, what it
// refuses we must refuse. Where we refuse what it serves, this table says why.
var stricter = map[string]string{
	"lf lines":                  "RFC 9112 2.2 lets a recipient take LF alone for a line end; others take it for data",
	"lf in the head":            "as above",
	"lf empty line":             "as above",
	"fragment":                  "RFC 9112 3.2: no form of the target has a fragment",
	"star with GET":             "RFC 9112 3.2.4: only OPTIONS",
	"other scheme":              "we are a gateway for http and https",
	"user in the target":        "RFC 9110 4.2.4: user information in http URIs is an error",
	"no host in the target":     "RFC 9110 4.2.1: an empty host is invalid",
	"host mismatch":             "RFC 9112 3.2: Host must be the authority of the target",
	"empty host":                "names no backend",
	"host with bad port":        "RFC 9110 7.2: uri-host [ \":\" port ]",
	"host with large port":      "as above",
	"host with two ports":       "as above",
	"host with open bracket":    "as above",
	"host with bad address":     "as above",
	"host with zone":            "means nothing to a peer",
	"host of a dot":             "RFC 1034 3.1: no label but the root's is empty",
	"host with empty label":     "as above",
	"obs-fold":                  "RFC 9112 5.2: a server must reject or replace it",
	"obs-fold with tab":         "as above",
	"trace":                     "it would show what the proxy added",
	"lower-case method":         "RFC 9110 9.1: case-sensitive; no registered method looks like this",
	"odd method":                "as above",
	"reserved method":           "RFC 9113 11.6: PRI is HTTP/2's, and no request may be taken for its preface",
	"connect":                   "no tunnels through an ingress",
	"length twice":              "RFC 9112 6.3 lets equal values pass, for those who see both",
	"long method":               "RFC 9112 3: 501 for a method longer than any known",
	"h2 preface":                "the standard server offers HTTP/2 here",
	"long request line":         "its limit is 1 MiB for everything",
	"large field":               "as above",
	"large head":                "as above",
	"many fields":               "it has no limit on the count",
	"two expectations":          "it looks at the first only",
	"coding on 1.0":             "RFC 9112 6.1: faulty framing; it ignores the field",
	"extension with nul":        "chunk extensions are skipped unread there",
	"extension without name":    "as above",
	"extension of a space":      "as above",
	"extension in two words":    "as above",
	"extension with open quote": "as above",
	"space after":               "trailing space after a chunk size is trimmed there",
	"tab after":                 "as above",
	"long extensions":           "as above",
	"bad trailer":               "space before the colon is accepted in trailers there",
	"folded trailer":            "as in heads",
	"many trailers":             "it has no limit on the count",
}

// What we serve and the standard server does not.
var laxer = map[string]string{
	"one empty line first": "RFC 9112 2.2: a server should ignore one; old clients send one after a body",
}

// verdict sends bytes and returns the first final response.
func verdict(t *testing.T, addr, bytes string) (status, content string) {
	conn := connect(t, addr)
	conn.say(bytes)
	_ = closeWrite(conn.Conn)
	got := conn.hear("GET")
	if strings.HasPrefix(got, "100") {
		got = conn.hear("GET")
	}
	status, _, _ = strings.Cut(got, " ")
	_, content, _ = strings.Cut(got, `"`)
	return status, content
}

func TestAgainstTheStandardServer(t *testing.T) {
	std := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	std.Config.DisableGeneralOptionsHandler = true
	std.Start()
	defer std.Close()
	theirs := std.Listener.Addr().String()
	ours := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	used := make(map[string]bool)
	try := func(name, bytes string) {
		t.Helper()
		us, ourContent := verdict(t, ours, bytes)
		them, theirContent := verdict(t, theirs, bytes)
		switch {
		case us == "200" && them != "200" && laxer[name] == "":
			t.Errorf("%s: laxer: %s, the standard server %s", name, us, them)
		case us != "200" && them == "200" && stricter[name] == "":
			t.Errorf("%s: stricter (%s) without a reason in the table", name, us)
		case us != "200" && them == "200":
			used[name] = true
		case us == "200" && them == "200" && ourContent != theirContent && !strings.Contains(name, "trailer"):
			t.Errorf("%s: read differently: %s, the standard server %s", name, ourContent, theirContent)
		}
	}
	for _, c := range refused {
		try(c.name, c.bytes)
	}
	for _, c := range brokenBodies {
		try(c.name, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+c.body)
	}
	for _, c := range served {
		try(c.name, c.bytes)
	}
	for name := range stricter {
		if !used[name] {
			t.Errorf("%s: in the table, but there is no difference", name)
		}
	}
}
