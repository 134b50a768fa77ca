package server

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/http1"
)

// newHTTP1 makes the HTTP/1.1 server of one kind of listener; each has its own, so that connections are counted apart.
func newHTTP1(s *Server, handler http.Handler) *http1.Server {
	return &http1.Server{
		Handler: handler,
		Heads:   s.heads,
		Limits:  http1.Limits{HeadBytes: s.limits.HeadBytes},
		Timeouts: http1.ServerTimeouts{
			FirstByte: s.limits.FirstByte,
			Head:      s.limits.Head,
			BodyIdle:  s.limits.BodyIdle,
			WriteIdle: s.limits.WriteIdle,
			KeepAlive: s.limits.KeepAlive,
		},
		MaxRequests:     s.limits.KeepAliveRequests,
		KeepUnderscores: s.options.KeepUnderscores,
		PanicHandler:    s.panicked,
		ErrorHandler: func(h http.Header, r *http.Request, e *http1.ProtocolError) []byte {
			return s.refused(h, r, Refusal{e.Status, e.Reason, e.Detail})
		},
	}
}

// lateFirstByte is how long a connection that was accepted, or ended its TLS handshake, during a drain may take to say what it wants.
const lateFirstByte = time.Second

// newLate makes a server that gives each connection one request and then closes it. A client that was let in deserves an answer, and
// one that has sent its first request on a new connection cannot know that trying again is safe.
func newLate(s *Server, handler http.Handler) *http1.Server {
	late := newHTTP1(s, handler)
	late.MaxRequests = 1
	late.Timeouts.FirstByte = lateFirstByte
	return late
}

func (s *Server) panicked(r *http.Request, value any, stack []byte) {
	s.log.Error("panic in the handler of a request", zap.Any("panic", value), zap.String("method", r.Method),
		zap.String("host", r.Host), zap.String("path", r.URL.Path), zap.ByteString("stack", stack))
}
