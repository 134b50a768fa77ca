// Package server listens: it accepts connections, ends TLS, speaks HTTP/1.1 and HTTP/2 to clients, and drains.
//
// A connection lives in one goroutine from here to its end:
//
//	accept ── plain ───────────────────────┐ (with h2c the first bytes decide)
//	       └─ TLS ── handshake ─┬─ http/1.1 ── http1.Server ──┐
//	                            └─ h2 ──────── http2.Server ──┴── Handler
//
// Before that comes the PROXY protocol header, where one is expected (proxyproto.go); a TLS connection may be for somebody who ends TLS
// himself (passthrough.go); and ports of TCP services know no HTTP at all (tcp.go).
//
// The Handler sees an *http.Request either way and cannot tell which server made it, except by its Proto. Whatever is not one
// unambiguous request is refused before it, see http1 and refuse.go.
//
// The end of a process is a drain: no new connections; idle ones are closed; a request in flight is finished, with "Connection:
// close" or a GOAWAY; WebSockets and other upgraded connections go on until they end by themselves or the grace period does.
package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/http2"
)

// Options are what a Server is made of. Handler is required, and TLS when there are Secure addresses.
type Options struct {
	Plain   []string // addresses for HTTP, as for net.Listen: ":8080" is IPv4 and IPv6, "127.0.0.1:0" any port
	Secure  []string // addresses for HTTPS
	Handler http.Handler
	// Redirect are further addresses for HTTP/1.1, whose requests Redirector answers.
	Redirect   []string
	Redirector http.Handler
	TLS        *tls.Config // its NextProtos decide whether HTTP/2 is offered
	Limits     Limits
	// Cleartext2 also serves HTTP/2 on Plain addresses, to clients that begin with it (h2c by prior knowledge).
	Cleartext2 bool
	// Streams2 is asked at the begin of each HTTP/2 connection how many requests it may have in flight; 0, or nil, is Limits.Streams.
	Streams2 func() int
	// ProxyProtocol is asked for each connection how long to wait for the PROXY protocol header that must come from this peer; 0 is that
	// none is expected. nil expects none.
	ProxyProtocol func(peer netip.Addr) time.Duration
	// Passthrough takes over TLS connections for some names before TLS is ended; nil takes none.
	Passthrough Passthrough
	// TCP gives the addresses to listen on at the port of a TCP service, and Streams serves its connections; see ListenTCP.
	TCP     func(port uint16) []string
	Streams Streams
	// Refused makes the body of the answer to a request that Handler never sees, may set fields of that answer, and is where such
	// requests are logged and counted. Of the request RemoteAddr, TLS and context are there, the rest as far as it was understood.
	// nil answers with the status alone.
	Refused func(answer http.Header, r *http.Request, why Refusal) []byte
	// KeepUnderscores is asked at each request whether to hand on fields with an underscore in the name. Without it they are dropped,
	// as nginx does.
	KeepUnderscores func() bool
	// Observer is told about connections and handshakes; nil is nobody.
	Observer Observer
	// Log gets what concerns the process, such as a failing accept. What concerns one client goes to the Observer only, since every
	// port scan makes some.
	Log *zap.Logger
}

// Observer counts what happens below HTTP. listener is "http", "https", "redirect" or "tcp".
type Observer interface {
	ConnectionOpened(listener string)
	// ConnectionRefused is called for each connection that was closed since Limits.Connections are open; ConnectionOpened is not.
	ConnectionRefused(listener string)
	// HandshakeDone is called once for each TLS handshake with "ok" or the cause of its failure, from a short fixed list.
	HandshakeDone(result string)
	// ProxyHeader is called for each connection that had to begin with a PROXY protocol header, with what became of it, from a short
	// fixed list.
	ProxyHeader(result string)
	// HTTP2Error is called for each HTTP/2 stream or connection error, with a word from package http2's fixed list. It must not wait.
	HTTP2Error(kind string)
}

// The names of listeners in metrics and logs.
const (
	nameHTTP     = "http"
	nameHTTPS    = "https"
	nameRedirect = "redirect" // at Options.Redirect
	nameTCP      = "tcp"      // of all TCP services
)

// Server is the client-facing side of Usher. Make it with New; then Listen, Serve, and at the end Drain.
type Server struct {
	options   Options
	limits    Limits
	log       *zap.Logger
	observer  Observer
	listeners []*listener
	plain     *http1.Server // HTTP/1.1 on plain connections
	secure    *http1.Server // and over TLS
	late      *http1.Server // and on either, once a drain has begun
	redirect  *http1.Server // at Options.Redirect
	lateThere *http1.Server // and there, once a drain has begun
	http2     *http2.Server // HTTP/2 over TLS
	clear2    *http2.Server // and in the clear
	conns     *connections
	open      connectionLimit
	heads     *http1.HeadBudget // of all servers below

	mu        sync.Mutex
	tcp       map[uint16][]*listener // of TCP services
	stopped   bool
	stopping  chan struct{}  // closed when no more connections are to be accepted
	accepting sync.WaitGroup // the accept loops
	end       sync.Once
	ended     chan struct{} // closed when Drain or Close has done its work
}

// New makes a Server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.Handler == nil {
		return nil, errors.New("server: no handler")
	}
	if len(o.Secure) > 0 && o.TLS == nil {
		return nil, errors.New("server: HTTPS addresses without a TLS configuration")
	}
	if len(o.Redirect) > 0 && o.Redirector == nil {
		return nil, errors.New("server: addresses for redirects without a handler")
	}
	s := &Server{options: o, limits: o.Limits.withDefaults(), log: o.Log, observer: o.Observer, conns: newConnections(), tcp: map[uint16][]*listener{}, stopping: make(chan struct{}), ended: make(chan struct{})}
	s.open.most = int64(s.limits.Connections)
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.open.check(s.log)
	if s.observer == nil {
		s.observer = nobody{}
	}
	s.heads = http1.NewHeadBudget(int64(s.limits.HeadsBytes))
	s.http2, s.clear2 = newHTTP2(s), newHTTP2(s)
	s.plain, s.secure, s.late = newHTTP1(s, o.Handler), newHTTP1(s, o.Handler), newLate(s, o.Handler)
	s.redirect, s.lateThere = newHTTP1(s, o.Redirector), newLate(s, o.Redirector)
	if o.Cleartext2 {
		s.plain.HTTP2, s.late.HTTP2 = s.clear2.ServeRead, s.clear2.ServeRead
	}
	return s, nil
}

// Listen binds all addresses, or none. It fails with the address that could not be had.
func (s *Server) Listen() error {
	for _, address := range s.options.Plain {
		if err := s.bind(nameHTTP, address, nil); err != nil {
			return err
		}
	}
	for _, address := range s.options.Secure {
		if err := s.bind(nameHTTPS, address, s.options.TLS); err != nil {
			return err
		}
	}
	for _, address := range s.options.Redirect {
		if err := s.bind(nameRedirect, address, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) bind(name, address string, config *tls.Config) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		for _, bound := range s.listeners {
			_ = bound.Close()
		}
		s.listeners = nil
		return fmt.Errorf("cannot listen for %s on %q: %w", name, address, err)
	}
	s.listeners = append(s.listeners, &listener{socket: l.(*net.TCPListener), name: name, tls: config, server: s})
	return nil
}

// Plain returns the addresses bound for HTTP, with the real port where port 0 was asked for.
func (s *Server) Plain() []net.Addr { return s.addresses(nameHTTP) }

// Redirect returns the addresses bound for redirects.
func (s *Server) Redirect() []net.Addr { return s.addresses(nameRedirect) }

// Secure returns the addresses bound for HTTPS.
func (s *Server) Secure() []net.Addr { return s.addresses(nameHTTPS) }

// Listens returns every address on which connections are accepted now, those of TCP services too.
func (s *Server) Listens() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]netip.AddrPort, 0, len(s.listeners)+len(s.tcp))
	add := func(all []*listener) {
		for _, l := range all {
			out = append(out, l.Addr().(*net.TCPAddr).AddrPort())
		}
	}
	add(s.listeners)
	for _, open := range s.tcp {
		add(open)
	}
	return out
}

func (s *Server) addresses(name string) []net.Addr {
	var out []net.Addr
	for _, l := range s.listeners {
		if l.name == name {
			out = append(out, l.Addr())
		}
	}
	return out
}

// Serve accepts connections on all bound addresses until Drain or Close. It returns nil when that has done its work, not when it
// begins: a Group that has Serve as a part must not end while requests are being finished.
func (s *Server) Serve() error {
	s.mu.Lock()
	if !s.stopped {
		for _, l := range s.listeners {
			s.accepting.Go(l.accept)
		}
	}
	s.mu.Unlock()
	<-s.ended
	return nil
}

type nobody struct{}

func (nobody) ConnectionOpened(string)  {}
func (nobody) ConnectionRefused(string) {}
func (nobody) HandshakeDone(string)     {}
func (nobody) ProxyHeader(string)       {}
func (nobody) HTTP2Error(string)        {}
