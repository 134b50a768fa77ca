package server

import (
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// connections are all that were accepted and have not ended, whatever they speak.
type connections struct {
	running    sync.WaitGroup // each one's goroutine
	handshakes atomic.Int64   // how many are in their TLS handshake

	mu    sync.Mutex
	open  map[net.Conn]struct{}
	count map[string]int64 // by listener
}

func newConnections() *connections {
	return &connections{open: map[net.Conn]struct{}{}, count: map[string]int64{}}
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
//	handshake  in the TLS handshake
//	active     with a request in flight
//	idle       kept alive between two requests, or before the first
//	upgraded   taken over by the handler: WebSockets and the like; during a drain also those that came late
func (s *Server) Connections(tell func(listener, state string, count int64)) {
	plain, secure := s.plain.Stats(), s.secure.Stats()
	tell(nameHTTP, "active", plain.Active)
	tell(nameHTTP, "idle", plain.Idle)
	tell(nameHTTP, "upgraded", max(0, s.conns.on(nameHTTP)-plain.Open))

	handshakes, open2, active2 := s.conns.handshakes.Load(), s.http2.open.Load(), s.http2.active.Load()
	tell(nameHTTPS, "handshake", handshakes)
	tell(nameHTTPS, "active", secure.Active+active2)
	tell(nameHTTPS, "idle", secure.Idle+max(0, open2-active2))
	tell(nameHTTPS, "upgraded", max(0, s.conns.on(nameHTTPS)-secure.Open-open2-handshakes))
}
