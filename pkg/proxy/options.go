package proxy

import (
	"net/http"
	"strconv"
)

// OPTIONS asks what a server can do. Mostly that is for the endpoint to say; Usher answers where nobody after it may be asked.

// allow is what every route can do; what its endpoint can do it does not know.
const allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// lastAsked answers a request for the options of the server as a whole, which is no route's ("*", RFC 9110 section 9.3.7), and one that
// may not be forwarded any further (Max-Forwards, section 7.6.2). A larger Max-Forwards is counted down.
func (x *exchange) lastAsked() bool {
	if x.r.Method != http.MethodOptions {
		return false
	}
	if x.r.URL.Path != "*" {
		hops, err := strconv.ParseUint(first(x.r.Header["Max-Forwards"]), 10, 32)
		if err != nil {
			return false
		}
		if hops > 0 {
			x.r.Header["Max-Forwards"] = []string{strconv.FormatUint(hops-1, 10)}
			return false
		}
	}
	x.begun, x.record.Status = true, http.StatusOK
	h := x.w.Header()
	x.ownFields(h)
	h["Allow"], h["Content-Length"] = []string{allow}, []string{"0"}
	x.w.WriteHeader(http.StatusOK)
	return true
}
