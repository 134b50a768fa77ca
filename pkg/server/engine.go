package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
)

// engine is what serves HTTP/1.1 on connections that are ready for it.
type engine interface {
	// ServeConn returns when the connection is closed, or taken over by the handler.
	ServeConn(net.Conn)
	// Shutdown closes idle connections, lets others finish their request, and returns when none is left.
	Shutdown(context.Context) error
	Close() error
}

// standard is net/http's server behind the seam.
type standard struct {
	*http.Server
	conns chan net.Conn
	done  chan struct{}
	stop  sync.Once
	ended sync.Map // net.Conn -> chan struct{}
}

func newHTTP1(handler http.Handler, l Limits) engine {
	s := &standard{conns: make(chan net.Conn), done: make(chan struct{})}
	s.Server = &http.Server{Handler: handler, MaxHeaderBytes: l.HeadBytes, ReadHeaderTimeout: l.Head, IdleTimeout: l.KeepAlive,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				if ended, ok := s.ended.LoadAndDelete(c); ok {
					close(ended.(chan struct{}))
				}
			}
		}}
	go func() {
		if err := s.Serve(s); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return s
}

func (s *standard) ServeConn(c net.Conn) {
	ended := make(chan struct{})
	s.ended.Store(c, ended)
	select {
	case s.conns <- c:
		<-ended
	case <-s.done:
		_ = c.Close()
	}
}

func (s *standard) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *standard) Addr() net.Addr { return &net.TCPAddr{} }

func (s *standard) Close() error {
	s.stop.Do(func() { close(s.done) })
	return s.Server.Close()
}
