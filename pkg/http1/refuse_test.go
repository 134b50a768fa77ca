package http1

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/field"
)

// Every rule of strictness: the bytes, and the status and reason that answer
// them. Behind each one comes a request that must never be served.
var refused = []struct {
	name, bytes, want string
}{
	{"http/0.9", "GET /\r\n\r\n", "400 bad-request-line"},
	{"lf lines", "GET / HTTP/1.1\nHost: x\n\n", "400 bare-lf"},
	{"lf in the head", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", "400 bare-lf"},
	{"lf empty line", "GET / HTTP/1.1\r\nHost: x\r\n\n", "400 bare-lf"},
	{"cr as line end", "GET / HTTP/1.1\rHost: x\r\n\r\n", "400 bare-cr"},
	{"cr in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", "400 bare-cr"},
	{"cr before crlf", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n", "400 bare-cr"},
	{"cr in a name", "GET / HTTP/1.1\r\nHost: x\r\nA\rB: c\r\n\r\n", "400 bare-cr"},
	{"cr first", "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 bare-cr"},
	{"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-method"},
	{"space first", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-method"},
	{"tls to a plain port", "\x16\x03\x01\x02\x00\x01", "400 bad-method"},
	{"nul in the method", "G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-method"},
	{"method with separator", "G(T / HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-method"},
	{"long method", strings.Repeat("M", 33) + " / HTTP/1.1\r\nHost: x\r\n\r\n", "501 long-method"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"tab", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-method"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "400 bad-version"},
	{"no target", "GET HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-request-line"},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"control in the target", "GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"del in the target", "GET /a\x7fb HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"bad escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-escape"},
	{"short escape", "GET /%4 HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-escape"},
	{"relative target", "GET a/b HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"star with GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"other scheme", "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"},
	{"user in the target", "GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-host"},
	{"no host in the target", "GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-host"},
	{"host mismatch", "GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n", "400 host-mismatch"},
	{"lower-case version", "GET / http/1.1\r\nHost: x\r\n\r\n", "400 bad-version"},
	{"version 1.01", "GET / HTTP/1.01\r\nHost: x\r\n\r\n", "400 bad-version"},
	{"version 0.9", "GET / HTTP/0.9\r\nHost: x\r\n\r\n", "400 bad-version"},
	{"version 1", "GET / HTTP/1\r\nHost: x\r\n\r\n", "400 bad-version"},
	{"version 1,1", "GET / HTTP/1,1\r\nHost: x\r\n\r\n", "400 bad-version"},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505 version"},
	{"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 version"},
	{"connect", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "405 connect"},

	{"trace", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "405 trace"},
	{"lower-case method", "get / HTTP/1.1\r\nHost: x\r\n\r\n", "501 method"},
	{"reserved method", "PRI / HTTP/1.1\r\nHost: x\r\n\r\n", "501 method"},
	{"odd method", "A.B / HTTP/1.1\r\nHost: x\r\n\r\n", "501 method"},

	{"no host", "GET / HTTP/1.1\r\n\r\n", "400 no-host"},
	{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "400 repeated-host"},
	{"two hosts on 1.0", "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", "400 repeated-host"},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400 bad-host"},
	{"host list", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", "400 bad-host"},
	{"host with path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "400 bad-host"},
	{"host with user", "GET / HTTP/1.1\r\nHost: u@x\r\n\r\n", "400 bad-host"},
	{"host with space", "GET / HTTP/1.1\r\nHost: x y\r\n\r\n", "400 bad-host"},
	{"host with bad port", "GET / HTTP/1.1\r\nHost: x:http\r\n\r\n", "400 bad-host"},
	{"host with large port", "GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n", "400 bad-host"},
	{"host with two ports", "GET / HTTP/1.1\r\nHost: x:1:2\r\n\r\n", "400 bad-host"},
	{"host with open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400 bad-host"},
	{"host with bad address", "GET / HTTP/1.1\r\nHost: [::zz]\r\n\r\n", "400 bad-host"},
	{"host of a dot", "GET / HTTP/1.1\r\nHost: .\r\n\r\n", "400 bad-host"},
	{"host with empty label", "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", "400 bad-host"},
	{"host with zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", "400 bad-host"},

	{"obs-fold", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400 obs-fold"},
	{"obs-fold with tab", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n", "400 obs-fold"},
	{"space before the first field", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", "400 obs-fold"},
	{"line of spaces", "GET / HTTP/1.1\r\nHost: x\r\n  \r\n\r\n", "400 obs-fold"},
	{"space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400 space-in-name"},
	{"tab before the colon", "GET / HTTP/1.1\r\nHost\t: x\r\n\r\n", "400 space-in-name"},
	{"no colon", "GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", "400 no-colon"},
	{"no name", "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", "400 empty-name"},
	{"slash in a name", "GET / HTTP/1.1\r\nHost: x\r\nA/B: c\r\n\r\n", "400 bad-name"},
	{"utf-8 in a name", "GET / HTTP/1.1\r\nHost: x\r\n\xc3\xa9: c\r\n\r\n", "400 bad-name"},
	{"nul in a name", "GET / HTTP/1.1\r\nHost: x\r\nA\x00: c\r\n\r\n", "400 bad-name"},
	{"nul in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", "400 bad-value"},
	{"control in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\x0bc\r\n\r\n", "400 bad-value"},
	{"del in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", "400 bad-value"},

	{"length list", post("Content-Length: 5, 5"), "400 bad-length"},
	{"length twice", post("Content-Length: 5\r\nContent-Length: 5"), "400 repeated-length"},
	{"two lengths", post("Content-Length: 5\r\nContent-Length: 6"), "400 repeated-length"},
	{"length with sign", post("Content-Length: +5"), "400 bad-length"},
	{"negative length", post("Content-Length: -5"), "400 bad-length"},
	{"hex length", post("Content-Length: 0x5"), "400 bad-length"},
	{"length with underscore", post("Content-Length: 1_0"), "400 bad-length"},
	{"length with space", post("Content-Length: 1 0"), "400 bad-length"},
	{"empty length", post("Content-Length:"), "400 bad-length"},
	{"huge length", post("Content-Length: 99999999999999999999"), "400 bad-length"},
	{"length and coding", post("Content-Length: 5\r\nTransfer-Encoding: chunked"), "400 length-and-coding"},
	{"coding and length", post("Transfer-Encoding: chunked\r\nContent-Length: 5"), "400 length-and-coding"},
	{"coding on 1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 coding-on-1.0"},
	{"chunked twice", post("Transfer-Encoding: chunked, chunked"), "400 bad-coding"},
	{"two codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), "400 repeated-coding"},
	{"coding after chunked", post("Transfer-Encoding: chunked, identity"), "400 bad-coding"},
	{"identity", post("Transfer-Encoding: identity"), "400 bad-coding"},
	{"gzip alone", post("Transfer-Encoding: gzip"), "400 bad-coding"},
	{"gzip, chunked", post("Transfer-Encoding: gzip, chunked"), "501 coding"},
	{"no coding", post("Transfer-Encoding:"), "400 bad-coding"},
	{"quoted chunked", post("Transfer-Encoding: \"chunked\""), "400 bad-coding"},
	{"chunked with parameter", post("Transfer-Encoding: chunked;a=b"), "400 bad-coding"},
	{"xchunked", post("Transfer-Encoding: xchunked"), "400 bad-coding"},
	{"chunked,", post("Transfer-Encoding: chunked,"), "400 bad-coding"},
	{"vertical tab chunked", post("Transfer-Encoding: \x0bchunked"), "400 bad-value"},
	{"trailer of framing", post("Transfer-Encoding: chunked\r\nTrailer: Content-Length"), "400 bad-trailer"},
	{"expectation", post("Content-Length: 5\r\nExpect: 200-ok"), "417 expectation"},
	{"two expectations", post("Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x"), "417 expectation"},

	{"long request line", "GET /" + strings.Repeat("a", 17<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "414 long-request-line"},
	{"endless request line", "GET /" + strings.Repeat("a", 20<<10), "414 long-request-line"},
	{"large field", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 33<<10) + "\r\n\r\n", "431 large-field"},
	{"large head", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: "+strings.Repeat("a", 8<<10)+"\r\n", 9) + "\r\n", "431 large-head"},
	{"many fields", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 128) + "\r\n", "431 many-fields"},
}

func post(fields string) string {
	return "POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n\r\nhello"
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

func TestRefusedRequests(t *testing.T) {
	served := &log{}
	addr := serve(t, &Server{
		Handler:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.add("%s", r.RequestURI) }),
		ErrorHandler: reasons,
	})
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			conn := connect(t, addr)
			conn.say(c.bytes + smuggled)
			status, reason, _ := strings.Cut(c.want, " ")
			want := fmt.Sprintf("%s X-Reason=%s close \"\"", status, reason)
			if status == "405" {
				want = strings.Replace(want, " X-", " Allow="+field.Methods+" X-", 1)
			}
			if got := conn.hear("GET"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if rest := conn.rest(); rest != "" {
				t.Errorf("more than one answer: %q", rest)
			}
		})
	}
	if s := served.String(); s != "" {
		t.Errorf("refused requests reached the handler: %s", s)
	}
}

// Bodies that break off or lie about their size are the client's fault; what
// follows is not a request.
var brokenBodies = []struct {
	name, body, want string
}{
	{"no size", "\r\n", "400 bad-chunk-size"},
	{"no hex", "g\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"0x", "0x5\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"sign", "+5\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"minus", "-1\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"space before", " 5\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"space after", "5 \r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"tab after", "5\t\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"overflow by sign", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"many zeros", strings.Repeat("0", 17) + "5\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"endless size", strings.Repeat("0", 4000), "400 bad-chunk-size"},
	{"lf after size", "5\nhello\r\n0\r\n\r\n", "400 bare-lf"},
	{"cr after size", "5\rhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"data too long", "5\r\nhello!\r\n0\r\n\r\n", "400 bad-chunk-end"},
	{"data too short", "6\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-end"},
	{"lf after data", "5\r\nhello\n0\r\n\r\n", "400 bad-chunk-end"},
	{"cr after data", "5\r\nhello\rX0\r\n\r\n", "400 bad-chunk-end"},
	{"lf after last", "5\r\nhello\r\n0\n\r\n", "400 bare-lf"},
	{"lf at the end", "5\r\nhello\r\n0\r\n\n", "400 bare-lf"},
	{"extension without name", "5;\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-extension"},
	{"extension with space", "5 ;a=b\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"space instead of a semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-size"},
	{"extension of a space", "5; \r\nhello\r\n0\r\n\r\n", "400 bad-chunk-extension"},
	{"extension in two words", "5;a b\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-extension"},
	{"extension with lf", "5;a\nb\r\nhello\r\n0\r\n\r\n", "400 bare-lf"},
	{"extension with cr", "5;a\rb\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-extension"},
	{"extension with nul", "5;a=\x00\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-extension"},
	{"extension with open quote", "5;a=\"b\r\nhello\r\n0\r\n\r\n", "400 bad-chunk-extension"},
	{"long extension", "5;a=" + strings.Repeat("b", 5000) + "\r\nhello\r\n0\r\n\r\n", "400 long-chunk-extension"},
	{"long extensions", strings.Repeat("1;a="+strings.Repeat("b", 500)+"\r\nx\r\n", 10) + "0\r\n\r\n", "400 long-chunk-extension"},
	{"bad trailer", "0\r\nA : b\r\n\r\n", "400 space-in-name"},
	{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "400 obs-fold"},
	{"lf trailer", "0\r\nA: b\n\r\n", "400 bare-lf"},
	{"large trailer", "0\r\nA: " + strings.Repeat("b", 8000) + "\r\n\r\n", "431 large-trailer"},
	{"many trailers", "0\r\n" + strings.Repeat("A: b\r\n", 65) + "\r\n", "431 large-trailer"},
}

func TestBrokenBodies(t *testing.T) {
	var served log
	front := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.add("%s", r.RequestURI)
		echo(w, r)
	})})
	for _, c := range brokenBodies {
		t.Run(c.name, func(t *testing.T) {
			conn := connect(t, front)
			conn.say("POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + c.body + smuggled)
			status, reason, _ := strings.Cut(c.want, " ")
			if got, want := conn.hear("POST"), fmt.Sprintf("%s X-Reason=%s close \"\"", status, reason); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if rest := conn.rest(); rest != "" {
				t.Errorf("more than one answer: %q", rest)
			}
		})
	}
	if strings.Contains(served.String(), "smuggled") {
		t.Error("what followed a broken body was served")
	}
}

// TestReasonsAreDocumented: who finds a reason in a log finds it explained.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	told := func(want string) {
		t.Helper()
		if status, reason, _ := strings.Cut(want, " "); !strings.Contains(string(page), "`"+reason+"`") {
			t.Errorf("%s %s is not in docs/operations.md", status, reason)
		}
	}
	for _, c := range refused {
		told(c.want)
	}
	for _, c := range brokenBodies {
		told(c.want)
	}
}

// A client that ends within a head is told so; one that had said nothing, or
// an empty line, was merely idle.
func TestShortHeads(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo), ErrorHandler: reasons})
	for bytes, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n": `400 X-Reason=short-head close ""`,
		"GET":                           `400 X-Reason=short-head close ""`,
		"\r\n":                          "no response: closed",
		"":                              "no response: closed",
	} {
		conn := connect(t, addr)
		conn.say(bytes)
		_ = closeWrite(conn.Conn)
		if got := conn.hear("GET"); got != want {
			t.Errorf("%q: got %s, want %s", bytes, got, want)
		}
	}
}

// A request line that is none is refused when it is there: who speaks HTTP/0.9 sends nothing more, and waits.
func TestLinesThatAreNoRequest(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo), ErrorHandler: reasons})
	for bytes, want := range map[string]string{
		"GET /\r\n":                              `400 X-Reason=bad-request-line close ""`,
		"GET / HTTP/9.9\r\nHost":                 `505 X-Reason=version close ""`,
		"\r\nGET /a b HTTP/1.1\r\n":              `400 X-Reason=bad-target close ""`,
		"GET * HTTP/1.1\r\nHost: x\r\nA: b\r\nC": `400 X-Reason=bad-target close ""`,
	} {
		if got := connect(t, addr).say(bytes).hear("GET"); got != want {
			t.Errorf("%q: got %s, want %s", bytes, got, want)
		}
	}
}

func TestShortBodies(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	for _, bytes := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
	} {
		conn := connect(t, addr)
		conn.say(bytes)
		_ = closeWrite(conn.Conn)
		if got, want := conn.hear("POST"), `400 X-Reason=short-body close ""`; got != want {
			t.Errorf("%q: got %s, want %s", bytes, got, want)
		}
	}
}
