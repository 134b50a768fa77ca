package http1

import (
	"net/http"
	"strings"
	"testing"
)

// Cases that servers read differently, with what nginx 1.22.1 and haproxy 2.6 answered to the same bytes as proxies with their defaults
// ("0.9" is an answer without a head), and why the answer here is the right one.
var doubtful = []struct {
	name, bytes          string
	ours, nginx, haproxy string
	why                  string
}{
	{"target and Host differ", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400", "200", "400", "RFC 9112 3.2: must not be sent; one of two readers would take it for another host"},
	{"target and Host agree", "GET HTTP://X/ HTTP/1.1\r\nHost: x:80\r\n\r\n", "200", "200", "200", "RFC 9112 3.2.2: must be accepted; case and default port make no difference"},
	{"absolute target, no Host, 1.0", "GET http://b/ HTTP/1.0\r\n\r\n", "200", "200", "200", "RFC 9112 3.2.2"},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "200", "400", "200", "RFC 9112 3.2.4"},
	{"PRI", "PRI / HTTP/1.1\r\nHost: x\r\n\r\n", "501", "200", "400", "RFC 9113 11.6: reserved, so that nobody takes HTTP/2 for HTTP/1.1"},
	{"TRACE", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "405", "405", "200", "it would show what the proxy added"},
	{"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", "405", "400", "200", "no tunnels through an ingress"},
	{"lower-case method", "get / HTTP/1.1\r\nHost: x\r\n\r\n", "501", "400", "200", "RFC 9110 9.1: case-sensitive, hence unknown"},
	{"unknown method", "M-SEARCH / HTTP/1.1\r\nHost: x\r\n\r\n", "200", "200", "200", "RFC 9110 16.1: methods are for the application to know"},
	{"HTTP/0.9", "GET /\r\n", "400", "0.9", "400", "RFC 9112 2.3: the version is not optional"},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", "200", "200", "200", "RFC 9110 2.5: read as the highest minor version known"},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505", "505", "200", "RFC 9110 15.6.6"},
	{"an empty line first", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "200", "200", "200", "RFC 9112 2.2: at least one should be ignored"},
	{"lines that end with LF", "GET / HTTP/1.1\nHost: x\n\n", "400", "200", "200", "RFC 9112 2.2 permits it; who does not do so sees another message"},
	{"obs-fold", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400", "400", "200", "RFC 9112 5.2: 400, or replaced"},
	{"a list of hosts", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "400", "200", "200", "RFC 9112 3.2: an invalid Host must be answered 400"},
	{"user information in Host", "GET / HTTP/1.1\r\nHost: u@x\r\n\r\n", "400", "200", "200", "as above"},
	{"a fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", "400", "200", "400", "RFC 9112 3.2: no form of the target has one"},
	{"bytes above 0x7f in the target", "GET /\xc0\xaf HTTP/1.1\r\nHost: x\r\n\r\n", "200", "200", "400", "clients leave the encoding out; the proxy makes up for it, so that an endpoint sees RFC 3986"},
	{"a control byte in a value", "GET / HTTP/1.1\r\nHost: x\r\nCookie: a=\x01\r\n\r\n", "400", "200", "200", "RFC 9110 5.5"},
	{"a length in zeros", post("Content-Length: 005"), "200", "200", "200", "RFC 9110 8.6: 1*DIGIT; sent on as 5"},
	{"tab before a length", post("Content-Length:\t5"), "200", "400", "200", "RFC 9110 5.6.3: OWS"},
	{"a list of equal lengths", post("Content-Length: 5, 5"), "400", "400", "200", "RFC 9110 8.6: rejected, or replaced"},
	{"chunked and a comma", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "400", "501", "200", "two readers in a row must agree about the last coding"},
	{"tab before chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", "200", "501", "200", "RFC 9110 5.6.3: OWS"},
	{"chunked on 1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "400", "200", "RFC 9112 6.1: faulty framing"},
	{"chunk lines that end with LF", chunked("5\nhello\n0\n\n"), "400", "200", "200", "as for heads"},
	{"an extension without a name", chunked("5;\r\nhello\r\n0\r\n\r\n"), "400", "200", "200", "RFC 9112 7.1.1; a reader that takes ';' LF for a line sees another body"},
	{"an extension with LF", chunked("5;a\nhello\r\n0\r\n\r\n"), "400", "200", "200", "as above"},
	{"blanks within an extension", chunked("5; a = b\r\nhello\r\n0\r\n\r\n"), "200", "200", "200", "RFC 9110 5.6.3: must be accepted; not sent on"},
	{"a blank before an extension", chunked("5 ;a=b\r\nhello\r\n0\r\n\r\n"), "400", "200", "200", "by the same rule it must be accepted; but there are readers, net/http is one, that end the size there or refuse, and nobody sends it"},
	{"64 KiB of extension", chunked("5;a=" + strings.Repeat("b", 64<<10) + "\r\nhello\r\n0\r\n\r\n"), "400", "200", "400", "RFC 9112 7.1.1: ought to be limited"},
	{"a length among the trailers", chunked("5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), "200", "200", "200", "RFC 9110 6.5.1: not sent on"},
	{"an unknown expectation", post("Content-Length: 5\r\nExpect: x"), "417", "200", "200", "RFC 9110 10.1.1; and see \"Expect\" desyncs"},
	{"a misspelt expectation", post("Content-Length: 5\r\nExpect: y 100-continue"), "417", "200", "200", "as above"},
	{"a large target", "GET /" + strings.Repeat("a", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "414", "414", "400", "RFC 9112 3"},
	{"a large field", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 100_000) + "\r\n\r\n", "431", "400", "400", "RFC 6585 5"},
}

func chunked(body string) string {
	return "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

func TestDoubtfulRequests(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	for _, c := range doubtful {
		if got, _, _ := strings.Cut(connect(t, addr).say(c.bytes).hear("GET"), " "); got != c.ours {
			t.Errorf("%s: got %s, want %s: %s", c.name, got, c.ours, c.why)
		}
	}
}
