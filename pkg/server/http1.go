package server

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/http1"
)

// newHTTP1 makes the HTTP/1.1 server of one kind of listener; each has its own, so that connections are counted apart.
func newHTTP1(s *Server) *http1.Server {
	return &http1.Server{
		Handler: s.options.Handler,
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
		RawTargets:      true, // nginx accepts unescaped UTF-8, and browsers of long ago send it
		PanicHandler:    s.panicked,
		ErrorHandler: func(h http.Header, e *http1.ProtocolError) []byte {
			return s.refused(h, Refusal{Status: e.Status, Reason: e.Reason, Detail: e.Detail, Proto: "HTTP/1.1"})
		},
	}
}

func (s *Server) panicked(r *http.Request, value any, stack []byte) {
	s.log.Error("panic in the handler of a request", zap.Any("panic", value), zap.String("method", r.Method),
		zap.String("host", r.Host), zap.ByteString("stack", stack))
}
