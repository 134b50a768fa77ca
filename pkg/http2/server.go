package http2

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// Server serves HTTP/2 on connections that have agreed on it. Set the fields
// before the first call of ServeConn, and not afterwards.
type Server struct {
	// Handler answers requests. It must not use the Request, its URL, Header,
	// Trailer or the ResponseWriter after it returned.
	Handler http.Handler
	// ErrorHandler makes the body of the answer to a request that is refused
	// with status before Handler sees it, and may set fields of the answer.
	// Nil: no body.
	ErrorHandler func(h http.Header, r *http.Request, status int, reason string) []byte
	// Patient reports whether the body of a request may pause for as long as the
	// client likes. Nil: none may, see Timeouts.BodyIdle.
	Patient func(r *http.Request) bool
	// PanicHandler is told of a Handler's panic, other than
	// http.ErrAbortHandler. The stream is reset either way.
	PanicHandler func(r *http.Request, v any, stack []byte)
	// CountError is told of each stream and connection error by a word of a
	// short fixed list. It must not wait: the connection is locked. Nil: told
	// nobody.
	CountError func(kind string)

	// Streams is asked at the begin of each connection how many requests it may
	// have in flight. Nil, or 0: as Limits says.
	Streams func() int

	// Heads bounds what unfinished field sections hold in all; nil is no bound.
	Heads *http1.HeadBudget

	Limits   Limits
	Timeouts Timeouts

	setup    sync.Once
	limits   Limits
	timeouts Timeouts
	workers  workers
	lastCall time.Duration // from the first GOAWAY of a shutdown to the last, if the client does not answer
	open     atomic.Int64
	active   atomic.Int64

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
}

// Stats is what a Server counts.
type Stats struct {
	Open   int64 // connections now
	Active int64 // of those, with a stream
}

// Stats returns the counters.
func (s *Server) Stats() Stats { return Stats{s.open.Load(), s.active.Load()} }

func (s *Server) prepare() {
	s.setup.Do(func() {
		s.limits = s.Limits.withDefaults()
		s.timeouts = s.Timeouts.withDefaults()
		if s.lastCall == 0 {
			s.lastCall = time.Second
		}
		s.conns = map[*conn]struct{}{}
	})
}

// ServeConn serves a connection from the client's preface to the end, and
// closes it. It returns when the handlers of its streams have returned.
func (s *Server) ServeConn(nc net.Conn) { s.ServeRead(nc, nil) }

// ServeRead is ServeConn for a connection of which bytes were read already.
func (s *Server) ServeRead(nc net.Conn, read []byte) {
	s.prepare()
	c := newConn(s, nc, read)
	if t, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := t.ConnectionState()
		c.tls = &state
	}
	c.base = context.WithValue(context.Background(), http.LocalAddrContextKey, nc.LocalAddr())
	s.mu.Lock()
	s.conns[c] = struct{}{}
	late := s.draining
	s.mu.Unlock()
	s.open.Add(1)
	s.workers.hire()
	defer s.workers.release()
	c.serve(late)
	s.open.Add(-1)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// Shutdown tells every client, also those that come later, to send no more
// requests. Those sent before the client heard are served; then the connection
// closes. It does not wait.
func (s *Server) Shutdown() {
	s.prepare()
	s.mu.Lock()
	s.draining = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.leave()
	}
}

func (s *Server) count(kind string) {
	if s.CountError != nil {
		s.CountError(kind)
	}
}
