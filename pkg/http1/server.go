package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves HTTP/1.0 and HTTP/1.1 on the connections it is given. Set the
// fields before the first call of Serve or ServeConn, and not afterwards.
type Server struct {
	// Handler answers requests. It must not use the Request, its URL,
	// Header, Trailer or the ResponseWriter after it returned: they serve
	// the next request. Strings taken from them may be kept.
	//
	// Header is as the client sent it, with canonical names, in no order,
	// without Host, Transfer-Encoding, Trailer, HTTP2-Settings, an Upgrade
	// that is not valid, Proxy, which CGI-like backends take for the variable
	// HTTP_PROXY, and what KeepUnderscores says; Connection and the fields it
	// names are still there. The context holds http.LocalAddrContextKey.
	// RequestURI is the target exactly as sent. URL.Path is "*" for OPTIONS *.
	Handler http.Handler

	// ErrorHandler makes the body of the answer to a request that is
	// refused before Handler sees it; it may set fields of the answer in h
	// (Content-Type, a reason). r is what was understood of the request:
	// RemoteAddr, TLS and the context always, Method, RequestURI and Host
	// perhaps, Header never. Nil: no body. The engine itself writes
	// e.Status, Date, Content-Length and Connection: close.
	ErrorHandler func(h http.Header, r *http.Request, e *ProtocolError) (body []byte)

	// PanicHandler is told of a Handler's panic, other than
	// http.ErrAbortHandler. The client gets a 500, or a broken response if
	// one was begun. Nil: told nobody.
	PanicHandler func(r *http.Request, v any, stack []byte)

	// HTTP2 takes over a connection whose client begins it as one of HTTP/2
	// (RFC 9113 section 3.3), with the bytes that were read, and closes it.
	// The connection is no longer the Server's. Nil: 505 as for any other
	// version.
	HTTP2 func(c net.Conn, read []byte)

	// Heads bounds what unfinished heads hold in all; nil is no bound.
	Heads *HeadBudget

	Limits   Limits
	Timeouts ServerTimeouts

	// MaxRequests is how many requests a connection may carry; 0 is 1000,
	// negative is no limit.
	MaxRequests int
	// KeepUnderscores is asked at each request whether to keep fields with
	// an underscore in the name. Without it they are dropped: CGI-like
	// backends take X_Y for X-Y.
	KeepUnderscores func() bool

	setup       sync.Once
	limits      Limits
	timeouts    ServerTimeouts
	maxRequests int
	watchEvery  time.Duration // watchPeriod, but for tests
	date        atomic.Pointer[dateStamp]
	stats       serverCounters
	leaving     atomic.Bool // Farewell was called
	draining    atomic.Bool // Shutdown was called
	closing     atomic.Bool // Close was called

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
	empty     chan struct{} // closed when the last connection has gone while draining
}

// Stats is what a Server counts.
type Stats struct {
	Accepted int64 // connections, ever
	Open     int64 // connections now, hijacked ones not included
	Active   int64 // of those, in a request
	Idle     int64 // of those, waiting for one
	Hijacked int64 // connections, ever
	Requests int64 // given to Handler, ever
	Refused  int64 // refused before Handler, ever
}

type serverCounters struct {
	accepted, open, idle, hijacked, requests, refused atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	open, idle := c.open.Load(), c.idle.Load()
	return Stats{
		Accepted: c.accepted.Load(), Open: open, Active: max(open-idle, 0), Idle: idle,
		Hijacked: c.hijacked.Load(), Requests: c.requests.Load(), Refused: c.refused.Load(),
	}
}

func (s *Server) prepare() {
	s.setup.Do(func() {
		s.limits = s.Limits.withDefaults()
		s.timeouts = s.Timeouts.withDefaults()
		s.maxRequests = s.MaxRequests
		if s.maxRequests == 0 {
			s.maxRequests = 1000
		}
		if s.watchEvery == 0 {
			s.watchEvery = watchPeriod
		}
	})
}

// Serve accepts connections and serves each on its own goroutine, until the
// listener fails or the server is shut down (ErrServerClosed). Passing errors
// of Accept (too many open files, say) are waited out.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.untrack(l)
	var pause time.Duration
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			go s.ServeConn(c)
			continue
		}
		if s.draining.Load() {
			return ErrServerClosed
		}
		if t, ok := err.(interface{ Temporary() bool }); !ok || !t.Temporary() {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		time.Sleep(pause)
	}
}

// ServeConn serves one connection and returns when it has ended, or, if the
// handler hijacked it, when the handler has returned. A *tls.Conn whose
// handshake is not complete makes it on the first read; then Request.TLS of
// the first request may be incomplete, so complete it before.
func (s *Server) ServeConn(c net.Conn) {
	s.prepare()
	if conn := s.newConn(c); s.remember(conn) {
		conn.serve()
	} else {
		_ = c.Close()
	}
}

// newConn is apart because what it needs of the stack would stay there for the
// connection's life.
func (s *Server) newConn(c net.Conn) *serverConn {
	conn := &serverConn{server: s, given: c}
	conn.wire.open(c)
	conn.wire.late = 1 + rand.Int64N(255)
	conn.readyFn = conn.ready
	conn.watch.conn = conn
	conn.remote = c.RemoteAddr().String()
	if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := t.ConnectionState()
		conn.tls = &state
	}
	conn.ctx = context.WithValue(context.Background(), http.LocalAddrContextKey, c.LocalAddr())
	return conn
}

func (s *Server) remember(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[c] = struct{}{}
	s.stats.accepted.Add(1)
	s.stats.open.Add(1)
	return true
}

// forget removes a connection that has ended or was hijacked.
func (s *Server) forget(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; !ok {
		return
	}
	delete(s.conns, c)
	s.stats.open.Add(-1)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) hijack(c *serverConn) {
	s.stats.hijacked.Add(1)
	s.forget(c)
}

func (s *Server) track(l net.Listener) bool {
	s.prepare()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// Farewell lets every connection end with its next response, which says
// "Connection: close". Who is asked to go that way loses no request, while one
// that is on its way to an idle connection is lost when that is closed. New
// connections are served, one request each; Shutdown is to follow.
func (s *Server) Farewell() { s.leaving.Store(true) }

// Shutdown closes the listeners and the idle connections, lets requests in
// progress finish with "Connection: close", and waits for them until ctx is
// done. A request whose bytes had arrived before is still served. Hijacked
// connections are not waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	empty, err := s.drain()
	if empty == nil {
		return err
	}
	select {
	case <-empty:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain begins to end everything, and returns what is closed when the last
// connection has gone; nil when it has already.
func (s *Server) drain() (chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	var errs []error
	for l := range s.listeners {
		errs = append(errs, l.Close())
	}
	clear(s.listeners)
	for c := range s.conns {
		// Idle ones wake and see that they are to go; others wake from
		// a read, look at their own limit, and go on.
		_ = c.wire.conn.SetReadDeadline(past)
	}
	if len(s.conns) > 0 && s.empty == nil {
		s.empty = make(chan struct{})
	}
	return s.empty, errors.Join(errs...)
}

// Close ends everything at once: listeners, connections, and the contexts of
// the requests in progress. It does not wait for handlers. Hijacked
// connections are theirs.
func (s *Server) Close() error {
	s.closing.Store(true)
	_, err := s.drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cancel(context.Canceled)
		c.wire.sever() // closing would wait for a handler, see ready
	}
	return err
}
