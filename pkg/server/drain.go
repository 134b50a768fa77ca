package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// drainGrace is how long a drain lets connections that have just come say what they came for. Idle connections are closed after it.
const drainGrace = 50 * time.Millisecond

// Farewell asks every client to take its next request elsewhere, by "Connection: close" or GOAWAY, while all are still served, also on new
// connections. It is for the time before Drain, when load balancers send nobody new any more: a connection that Drain finds idle is
// closed, and a request on its way there is lost.
func (s *Server) Farewell() {
	s.plain.Farewell()
	s.secure.Farewell()
	s.redirect.Farewell()
	s.http2.Shutdown()
	s.clear2.Shutdown()
}

// Drain is the graceful shutdown: it stops accepting, closes idle connections, and waits for requests in flight and upgraded
// connections. When ctx ends first it cuts what is left and returns an error that says how many those were.
func (s *Server) Drain(ctx context.Context) error {
	s.plain.Farewell() // what is answered from now on is the last on its connection, not idle afterwards
	s.secure.Farewell()
	s.redirect.Farewell()
	s.stopAccepting()
	defer s.end.Do(func() { close(s.ended) })
	ended := make(chan struct{})
	go func() {
		s.conns.running.Wait()
		close(ended)
	}()
	if s.awaitIdle(ctx, ended) {
		s.http2.Shutdown()
		s.clear2.Shutdown()
		go func() { _ = s.plain.Shutdown(ctx) }()
		go func() { _ = s.secure.Shutdown(ctx) }()
		go func() { _ = s.redirect.Shutdown(ctx) }()
	}
	select {
	case <-ended:
		return s.closeHTTP1()
	case <-ctx.Done():
		left := s.conns.all()
		go func() {
			_ = s.closeHTTP1()
			closeAll(left)
		}()
		cut(ended)
		return fmt.Errorf("the grace period ended with %d connections still in use: %w", len(left), context.Cause(ctx))
	}
}

// awaitIdle returns true when it is time to close idle connections, false when there is nothing left to close or no time.
func (s *Server) awaitIdle(ctx context.Context, ended <-chan struct{}) bool {
	timer := time.NewTimer(drainGrace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
		return false
	case <-ctx.Done():
		return false
	}
}

// Close ends the server at once and cuts every connection.
func (s *Server) Close() error {
	s.stopAccepting()
	defer s.end.Do(func() { close(s.ended) })
	ended, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		closed <- s.closeHTTP1()
		closeAll(s.conns.all())
	}()
	go func() {
		s.conns.running.Wait()
		close(ended)
	}()
	cut(ended)
	select {
	case err := <-closed:
		return err
	default:
		return nil
	}
}

// closeAll cuts connections. Their goroutines notice and end. It may wait for a handler that holds its connection's socket, and so
// runs beside whoever must not wait.
func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}

// cut waits until handlers have noticed that their connections are gone, but not for one that never does.
func cut(ended <-chan struct{}) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

func (s *Server) closeHTTP1() error {
	return errors.Join(s.plain.Close(), s.secure.Close(), s.late.Close(), s.redirect.Close(), s.lateThere.Close())
}

// stopAccepting closes the listeners when they have taken what the kernel already accepted for them.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	open := slices.Clone(s.listeners)
	for _, l := range s.tcp {
		open = append(open, l...)
	}
	s.mu.Unlock()
	for _, l := range open {
		_ = l.SetDeadline(time.Now().Add(queueTime))
	}
	s.accepting.Wait()
	closeListeners(open) // those that never served
}
