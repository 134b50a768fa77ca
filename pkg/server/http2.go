package server

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http2"
)

// http2Engine serves HTTP/2 with golang.org/x/net/http2. That package hangs its shutdown on an http.Server, so there is one, which
// never sees a connection.
type http2Engine struct {
	server *Server
	engine *http2.Server
	base   *http.Server
	open   atomic.Int64
	active atomic.Int64 // connections with a request in flight
}

// The buffers of HTTP/2. What a client may send before the handler reads it is memory that it can make us hold.
const (
	frameSize        = 16 << 10 // the least there is; larger frames only need larger buffers
	connectionWindow = 1 << 20
	streamWindow     = 512 << 10 // half of the connection's, so that one slow upload cannot stop the others
)

func newHTTP2(s *Server) (*http2Engine, error) {
	e := &http2Engine{server: s}
	e.base = &http.Server{
		MaxHeaderBytes: s.limits.HeadBytes,
		ConnState:      e.state,
		ErrorLog:       log.New(engineLog{s.log}, "", 0),
	}
	e.engine = &http2.Server{
		MaxConcurrentStreams:         uint32(s.limits.Streams),
		MaxReadFrameSize:             frameSize,
		MaxUploadBufferPerConnection: connectionWindow,
		MaxUploadBufferPerStream:     streamWindow,
		IdleTimeout:                  s.limits.KeepAlive,
		WriteByteTimeout:             s.limits.WriteIdle,
		CountError:                   s.observer.HTTP2Error,
	}
	return e, http2.ConfigureServer(e.base, e.engine)
}

// http2Conn is a connection with what we count about it. Its fields belong to the goroutine that x/net/http2 serves it in.
type http2Conn struct {
	*tls.Conn
	busy bool
}

// serve returns when the connection is closed.
func (e *http2Engine) serve(conn *tls.Conn) {
	c := &http2Conn{Conn: conn}
	e.open.Add(1)
	defer func() {
		e.open.Add(-1)
		if c.busy {
			e.active.Add(-1)
		}
	}()
	state := conn.ConnectionState()
	e.engine.ServeConn(c, &http2.ServeConnOpts{BaseConfig: e.base, Handler: &strict{server: e.server, tls: &state}})
}

// state is called as a connection gets its first request in flight, and after its last.
func (e *http2Engine) state(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*http2Conn)
	if !ok || c.busy == (state == http.StateActive) {
		return
	}
	if c.busy = !c.busy; c.busy {
		e.active.Add(1)
	} else {
		e.active.Add(-1)
	}
}

// farewell sends GOAWAY on every connection there is. Those that come later get it with the end of their first request.
func (e *http2Engine) farewell() {
	_ = e.base.Shutdown(context.Background()) // has no connections of its own, so it does not wait
}

// drain sends GOAWAY on every connection, again and again until stop is closed, since a connection whose handshake was under way
// joins late. Requests that the client sent before it heard are finished.
func (e *http2Engine) drain(stop <-chan struct{}) {
	const again = 100 * time.Millisecond
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	for {
		e.farewell()
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

// engineLog sorts what x/net/http2 prints: a panic would be its own, everything else is some client's doing.
type engineLog struct{ log *zap.Logger }

// Write logs one line.
func (l engineLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.Contains(text, "panic") {
		l.log.Error(text)
	} else {
		l.log.Debug(text)
	}
	return len(line), nil
}
