package server

import (
	"net/http"
	"strings"

	"github.com/usher-ingress/usher/pkg/http2"
)

// The buffers of HTTP/2. What a client may send before the handler reads it is memory that it can make us hold.
const (
	connectionWindow = 1 << 20
	streamWindow     = 512 << 10 // half of the connection's, so that one slow upload cannot stop the others
)

// newHTTP2 makes the HTTP/2 server of one kind of listener; each has its own, so that connections are counted apart.
func newHTTP2(s *Server) *http2.Server {
	return &http2.Server{
		Handler: &strict{server: s},
		Streams: s.options.Streams2,
		Heads:   s.heads,
		Limits: http2.Limits{
			HeadBytes:        s.limits.HeadBytes,
			Streams:          s.limits.Streams,
			StreamWindow:     streamWindow,
			ConnectionWindow: connectionWindow,
		},
		Timeouts: http2.Timeouts{
			Preface:   s.limits.FirstByte,
			Head:      s.limits.Head,
			BodyIdle:  s.limits.BodyIdle,
			WriteIdle: s.limits.WriteIdle,
			KeepAlive: s.limits.KeepAlive,
		},
		Patient:      patient,
		PanicHandler: s.panicked,
		CountError:   s.observer.HTTP2Error,
		ErrorHandler: func(h http.Header, r *http.Request, status int, reason string) []byte {
			return s.refused(h, r, Refusal{status, reason, "the fields of the request are too many or too large"})
		},
	}
}

// patient: a gRPC client may be silent on its stream for hours; the endpoint's read timeout is what ends that.
func patient(r *http.Request) bool {
	types := r.Header["Content-Type"]
	return len(types) > 0 && strings.HasPrefix(types[0], "application/grpc")
}
