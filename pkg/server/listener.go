package server

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/http1"
)

// listener is one bound address.
type listener struct {
	socket
	name   string
	port   uint16      // of a TCP service; 0 for HTTP
	tls    *tls.Config // nil for plain HTTP
	server *Server
}

// socket is what is used of a *net.TCPListener.
type socket interface {
	AcceptTCP() (*net.TCPConn, error)
	SetDeadline(time.Time) error
	Addr() net.Addr
	Close() error
}

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
	// queueTime is how long a listener still takes connections after it was told to stop. Closing the socket resets those that the
	// kernel completed and nobody accepted; this takes them first.
	queueTime = 10 * time.Millisecond
)

// accept serves connections until the server stops. An accept that fails, for want of file descriptors usually, is tried again: the
// listener must outlive a moment of overload.
func (l *listener) accept() {
	defer l.Close()
	backoff, pacer := firstBackoff, newAcceptPacer()
	for {
		conn, err := l.AcceptTCP()
		switch {
		case err == nil:
			backoff = firstBackoff
			l.admit(conn)
			if pacer.burst(time.Now()) {
				l.server.wait(burstPause)
			}
		case errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded):
			return
		default:
			l.server.log.Warn("accept failed; trying again", zap.String("listener", l.name), zap.Duration("in", backoff), zap.Error(err))
			if !l.server.wait(backoff) {
				return
			}
			backoff = min(2*backoff, lastBackoff)
		}
	}
}

// admit serves a connection in a goroutine of its own, if there is a place for it.
func (l *listener) admit(conn *net.TCPConn) {
	if !l.server.open.acquire() {
		l.refuseConnection(conn)
		return
	}
	l.server.conns.running.Go(func() {
		defer l.server.open.release()
		l.serve(conn)
	})
}

// wait returns false when the server stops before d has passed.
func (s *Server) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping:
		return false
	}
}

// serve is the whole life of a connection.
func (l *listener) serve(socket *net.TCPConn) {
	s := l.server
	s.observer.ConnectionOpened(l.name)
	limitNotSent(socket)
	s.conns.add(socket, l.name)
	defer s.conns.remove(socket, l.name)
	defer socket.Close()
	defer l.rescue()
	s.conns.begins(l.name, 1)
	begun := sync.OnceFunc(func() { s.conns.begins(l.name, -1) })
	defer begun()
	if l.port != 0 {
		l.serveTCP(socket, begun)
		return
	}
	conn, ok := s.introduce(socket)
	switch {
	case !ok:
	case l.name == nameRedirect:
		begun()
		s.engine(s.redirect, s.lateThere).ServeConn(conn)
	case l.tls == nil:
		begun()
		s.engine(s.plain, s.late).ServeConn(conn)
	case !s.pass(socket, conn, begun):
		l.serveTLS(conn, begun)
	}
}

// rescue keeps a bug in what comes before a request to its connection; the engines have their own.
func (l *listener) rescue() {
	if v := recover(); v != nil {
		l.server.log.Error("panic on a connection", zap.String("listener", l.name), zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
	}
}

// serveTLS ends TLS and serves what the two sides agreed to speak.
func (l *listener) serveTLS(conn net.Conn, begun func()) {
	s := l.server
	secure, protocol, ok := s.handshake(conn, l.tls)
	begun()
	switch {
	case !ok:
	case protocol == "h2":
		s.http2.ServeConn(secure)
	default:
		s.engine(s.secure, s.late).ServeConn(secure)
	}
}

// engine is usual, or once a drain has begun late, which serves a last request on connections that come then.
func (s *Server) engine(usual, late *http1.Server) *http1.Server {
	select {
	case <-s.stopping:
		return late
	default:
		return usual
	}
}
