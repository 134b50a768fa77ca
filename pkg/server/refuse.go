package server

import (
	"crypto/tls"
	"net/http"
)

// strict stands before the handler of an HTTP/2 connection and refuses what x/net/http2 lets pass and HTTP/1.1 upstream would
// misread.
type strict struct {
	next http.Handler
	tls  *tls.ConnectionState
}

func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// x/net/http2 believes the client's :scheme; what counts is how the request came.
	r.TLS = s.tls
	s.next.ServeHTTP(w, r)
}
