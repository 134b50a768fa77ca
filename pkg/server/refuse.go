package server

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
)

// Refusal is a request that no handler sees, because it is malformed, ambiguous, too large or too slow.
type Refusal struct {
	Status int
	Reason string // a stable word, such as "bare-lf"; see package http1
	Detail string // one sentence with the offending input, quoted
}

func (s *Server) refused(h http.Header, r *http.Request, why Refusal) []byte {
	if s.options.Refused == nil {
		return nil
	}
	return s.options.Refused(h, r, why)
}

// strict stands before the handler on an HTTP/2 connection. It refuses what x/net/http2 lets pass and an HTTP/1.1 application behind us
// would read differently: a method or target that is more than one word, a body length that is not the body's, a request without a
// host. What remains means the same in both versions of the protocol.
type strict struct {
	server *Server
	tls    *tls.ConnectionState
}

// ServeHTTP implements http.Handler.
func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// x/net/http2 sets TLS only when the client's :scheme says https. What counts is how the request came (RFC 9113 section 8.3.1
	// lets :scheme name something else, for proxies that we do not serve).
	r.TLS = s.tls
	if refusal := flaw(r); refusal != nil {
		s.refuse(w, r, *refusal)
		return
	}
	if keep := s.server.options.KeepUnderscores; keep == nil || !keep() {
		dropUnderscores(r.Header)
	}
	delete(r.Header, "Proxy") // CGI programs take it for the variable HTTP_PROXY
	p := newPatience(w, r, &s.server.limits)
	defer p.end()
	defer s.rescue(r)
	s.server.options.Handler.ServeHTTP(p, r)
}

// rescue logs a panic of the handler, and resets the stream as x/net/http2 does with one.
func (s *strict) rescue(r *http.Request) {
	value := recover()
	if value == nil {
		return
	}
	if err, ok := value.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		s.server.panicked(r, value, debug.Stack())
	}
	panic(http.ErrAbortHandler)
}

func (s *strict) refuse(w http.ResponseWriter, r *http.Request, refusal Refusal) {
	body := s.server.refused(w.Header(), r, refusal)
	if refusal.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body)
}

// flaw finds what is wrong with a request, or nil. The reasons are those of package http1, where it has the same rule.
func flaw(r *http.Request) *Refusal {
	switch {
	case !isToken(r.Method):
		return malformed("bad-method", "the method "+strconv.Quote(r.Method)+" is not a token")
	case r.Method == http.MethodConnect:
		return &Refusal{Status: http.StatusMethodNotAllowed, Reason: "connect", Detail: "CONNECT " + strconv.Quote(r.Host) + ": tunnels are not offered"}
	case r.Host == "":
		return malformed("no-host", "neither :authority nor a Host field")
	case !isHost(r.Host):
		return malformed("bad-host", ":authority "+strconv.Quote(r.Host))
	case !isTarget(r.RequestURI) && (r.RequestURI != "*" || r.Method != http.MethodOptions):
		return malformed("bad-target", ":path "+strconv.Quote(r.RequestURI)+" is not a path without spaces, control bytes and fragment")
	}
	return badLength(r)
}

func malformed(reason, detail string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Reason: reason, Detail: detail}
}

// badLength compares Content-Length, which HTTP/2 does not need, with what x/net/http2 made of it. That package refuses a body longer
// or shorter than its own reading, but takes a value that it cannot read, and the first of several, for granted.
func badLength(r *http.Request) *Refusal {
	values := r.Header["Content-Length"]
	switch len(values) {
	case 0:
		return nil
	case 1:
		if n, ok := digits(values[0]); !ok || n != r.ContentLength {
			return malformed("bad-length", "Content-Length "+strconv.Quote(values[0])+" is not the length of the body")
		}
		return nil
	}
	return malformed("repeated-length", strconv.Itoa(len(values))+" Content-Length fields")
}

// digits reads 1*DIGIT (RFC 9110 section 8.6) and nothing else; strconv would take a sign.
func digits(s string) (int64, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// isToken tells whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isTarget tells whether s can stand in an HTTP/1.1 request line as it is, in origin form.
func isTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '#' || c == 0x7f {
			return false
		}
	}
	return strings.HasPrefix(s, "/")
}

// isHost tells whether s is a name or an address, with an optional port.
func isHost(s string) bool {
	host, port := s, "0"
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
	}
	if n, ok := digits(port); !ok || n > 65535 {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && address.Is6() && address.Zone() == "" && strings.HasSuffix(host, "]")
	}
	for i := 0; i < len(host); i++ {
		c := host[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("-._~", c) < 0 {
			return false
		}
	}
	return host != ""
}

func dropUnderscores(h http.Header) {
	for name := range h {
		if strings.IndexByte(name, '_') >= 0 {
			delete(h, name)
		}
	}
}
