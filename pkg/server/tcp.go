package server

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// Streams serves the connections of TCP services, whose ports come and go while the server runs; see ListenTCP.
type Streams interface {
	// Introduction tells how long to wait for the PROXY protocol header with which connections to port begin; 0 is that they have none.
	// ok is false for a peer whose header would not be believed: its connection is closed.
	Introduction(port uint16, peer netip.Addr) (wait time.Duration, ok bool)
	// Stream serves a connection to port to its end.
	Stream(conn net.Conn, port uint16)
}

// ListenTCP opens the ports it is given for TCP services, and closes those it opened before and is not given any more; connections stay.
// It returns the ports that could not be opened, with the cause. Call it from one goroutine, after Listen.
func (s *Server) ListenTCP(ports []uint16) map[uint16]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for port, open := range s.tcp {
		if !slices.Contains(ports, port) {
			closeListeners(open)
			delete(s.tcp, port)
		}
	}
	failed := map[uint16]error{}
	for _, port := range ports {
		if s.stopped || s.tcp[port] != nil {
			continue
		}
		if err := s.openTCP(port); err != nil {
			failed[port] = err
		}
	}
	return failed
}

// openTCP opens a port on all addresses or none.
func (s *Server) openTCP(port uint16) error {
	var open []*listener
	for _, address := range s.options.TCP(port) {
		socket, err := net.Listen("tcp", address)
		if err != nil {
			closeListeners(open)
			return err
		}
		open = append(open, &listener{socket: socket.(*net.TCPListener), name: nameTCP, port: port, server: s})
	}
	s.tcp[port] = open
	for _, l := range open {
		s.accepting.Go(l.accept)
	}
	return nil
}

func closeListeners(open []*listener) {
	for _, l := range open {
		_ = l.Close()
	}
}

// serveTCP serves a connection of a TCP service.
func (l *listener) serveTCP(socket *net.TCPConn, begun func()) {
	s := l.server
	wait, ok := s.options.Streams.Introduction(l.port, peerOf(socket))
	if !ok {
		s.observer.ProxyHeader(headerUntrusted)
		return
	}
	conn, ok := s.introduced(socket, wait)
	begun()
	if ok {
		s.options.Streams.Stream(conn, l.port)
	}
}
