package server

import (
	"context"
	"fmt"
	"time"
)

// Drain ends the server with manners: it stops accepting, closes idle connections, and waits for requests in flight and upgraded
// connections. When ctx ends first it closes what is left and returns an error that says how many those were.
func (s *Server) Drain(ctx context.Context) error {
	s.stopAccepting()
	ended := make(chan struct{})
	go func() {
		s.conns.running.Wait()
		close(ended)
	}()
	go s.http2.drain(ended)
	go func() { _ = s.http1.Shutdown(ctx) }()
	select {
	case <-ended:
		return s.http1.Close()
	case <-ctx.Done():
		left := s.open()
		_ = s.Close()
		<-ended
		return fmt.Errorf("the grace period ended with %d connections still in use: %w", left, ctx.Err())
	}
}

// Close ends the server at once: it cuts every connection, except those that a handler took over and keeps, and returns.
func (s *Server) Close() error {
	s.stopAccepting()
	err := s.http1.Close()
	s.conns.closeAll()
	return err
}

// stopAccepting closes the listeners when they have taken what the kernel already accepted for them.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	s.mu.Unlock()
	for _, l := range s.listeners {
		_ = l.SetDeadline(time.Now().Add(queueTime))
	}
	s.accepting.Wait()
	for _, l := range s.listeners {
		_ = l.Close() // those that never served
	}
}

func (s *Server) open() int64 {
	var n int64
	for _, l := range s.listeners {
		n += l.open.Load()
	}
	return n
}
