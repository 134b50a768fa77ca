package server

import (
	"maps"
	"net"
	"slices"
	"sync"
)

// connections are all that were accepted and have not ended, whatever they speak.
type connections struct {
	running sync.WaitGroup // each one's goroutine

	mu        sync.Mutex
	open      map[net.Conn]struct{}
	count     map[string]int64 // by listener
	beginning map[string]int64 // of those, before their first request: in the PROXY header or the TLS handshake
}

func newConnections() *connections {
	return &connections{open: map[net.Conn]struct{}{}, count: map[string]int64{}, beginning: map[string]int64{}}
}

func (c *connections) add(conn net.Conn, listener string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = struct{}{}
	c.count[listener]++
}

func (c *connections) remove(conn net.Conn, listener string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
	c.count[listener]--
}

// begins counts a connection among those that are before their first request, or with -1 no longer.
func (c *connections) begins(listener string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginning[listener] += n
}

func (c *connections) begun(listener string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beginning[listener]
}

func (c *connections) on(listener string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[listener]
}

// all returns the connections that are open now.
func (c *connections) all() []net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.open))
}

// Connections tells how many connections each listener has open, by state:
//
//	handshake  in the PROXY protocol header or the TLS handshake
//	active     with a request in flight
//	idle       kept alive between two requests, or before the first
//	upgraded   passed on as they are, or taken over by the handler: WebSockets and the like; during a drain also those that came late
func (s *Server) Connections(tell func(listener, state string, count int64)) {
	plain, secure, clear2 := s.plain.Stats(), s.secure.Stats(), s.clear2.Stats()
	begun := s.conns.begun(nameHTTP)
	tell(nameHTTP, "handshake", begun)
	tell(nameHTTP, "active", plain.Active+clear2.Active)
	tell(nameHTTP, "idle", plain.Idle+max(0, clear2.Open-clear2.Active))
	tell(nameHTTP, "upgraded", max(0, s.conns.on(nameHTTP)-plain.Open-clear2.Open-begun))

	handshakes, two := s.conns.begun(nameHTTPS), s.http2.Stats()
	opening := s.conns.begun(nameTCP)
	tell(nameTCP, "handshake", opening)
	tell(nameTCP, "upgraded", max(0, s.conns.on(nameTCP)-opening))
	if len(s.options.Redirect) > 0 {
		all, begun := s.redirect.Stats(), s.conns.begun(nameRedirect)
		tell(nameRedirect, "handshake", begun)
		tell(nameRedirect, "active", all.Active)
		tell(nameRedirect, "idle", all.Idle)
	}
	tell(nameHTTPS, "handshake", handshakes)
	tell(nameHTTPS, "active", secure.Active+two.Active)
	tell(nameHTTPS, "idle", secure.Idle+max(0, two.Open-two.Active))
	tell(nameHTTPS, "upgraded", max(0, s.conns.on(nameHTTPS)-secure.Open-two.Open-handshakes))
}
