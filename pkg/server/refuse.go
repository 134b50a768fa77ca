package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/http1"
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

// strict stands before the handler on an HTTP/2 connection. It refuses what is sound HTTP/2 and an HTTP/1.1 application behind us
// would read differently: a method or target that is more than one word, a request without a host. (A body that is not as long as it
// says, and whatever else breaks RFC 9113, does not get this far.) What remains means the same in both versions of the protocol.
type strict struct{ server *Server }

// ServeHTTP implements http.Handler.
func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e := http1.Check(r); e != nil {
		s.refuse(w, r, Refusal{e.Status, e.Reason, e.Detail})
		return
	}
	if keep := s.server.options.KeepUnderscores; keep == nil || !keep() {
		dropUnderscores(r.Header)
	}
	delete(r.Header, "Proxy") // CGI programs take it for the variable HTTP_PROXY
	s.server.options.Handler.ServeHTTP(w, r)
}

func (s *strict) refuse(w http.ResponseWriter, r *http.Request, refusal Refusal) {
	body := s.server.refused(w.Header(), r, refusal)
	if refusal.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", field.Methods)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body)
}

func dropUnderscores(h http.Header) {
	for name := range h {
		if strings.IndexByte(name, '_') >= 0 {
			delete(h, name)
		}
	}
}
