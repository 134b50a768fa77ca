package http1

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
)

// serverConn is one client connection. Its goroutine waits for a request,
// reads the head, calls the handler, finishes body and response, and again.
type serverConn struct {
	server *Server
	wire   wire
	given  net.Conn        // what ServeConn was given: the wire's conn or a wrapper
	ctx    context.Context // parent of all requests' contexts
	tls    *tls.ConnectionState
	remote string

	x        *exchange // nil while idle
	served   int
	hijacked bool
	waitFn   func(uintptr) bool
	first    [1]byte // what a read that is not on a plain socket waits with
	watch    watch
	bodyDone atomic.Bool
	idle     atomic.Bool
	// current is the context of the request being handled.
	current atomic.Pointer[requestContext]
}

func (c *serverConn) serve() {
	defer c.close()
	for {
		if !c.await() {
			return
		}
		x := c.x
		if err := x.readHead(); err != nil {
			c.refuse(err)
			return
		}
		if !c.handle(x) {
			return
		}
	}
}

// handle answers one request and reports whether the connection goes on.
func (c *serverConn) handle(x *exchange) (again bool) {
	c.served++
	c.server.stats.requests.Add(1)
	x.prepare()
	c.current.Store(x.ctx)
	c.bodyDone.Store(x.handle == nil)
	c.watch.begin()
	ok := c.call(x)
	c.watch.end()
	c.current.Store(nil)
	if !x.ctx.finish() {
		x.ctx = nil // others may hold it
	}
	if c.hijacked || !x.finish(ok) {
		return false
	}
	c.rest()
	return true
}

// call runs the handler. A panic ends the connection, not the process:
// http.ErrAbortHandler silently, as with net/http.
func (c *serverConn) call(x *exchange) (ok bool) {
	defer func() {
		if ok {
			return
		}
		v := recover()
		if v != nil && v != http.ErrAbortHandler && c.server.PanicHandler != nil {
			c.server.PanicHandler(&x.req, v, debug.Stack())
		}
		x.response.aborted = x.response.aborted || v == http.ErrAbortHandler
	}()
	c.server.Handler.ServeHTTP(&x.response, &x.req)
	return true
}

// lastRequest reports whether the response must announce the end.
func (c *serverConn) lastRequest() bool {
	return c.server.draining.Load() || c.server.maxRequests > 0 && c.served >= c.server.maxRequests
}

// clearOwnDeadlines ends what the handler set through ResponseController.
func (c *serverConn) clearOwnDeadlines() {
	if c.wire.ownRead.Load() {
		c.wire.ownRead.Store(false)
		c.wire.setRead(never)
	}
	if c.wire.ownWrite.Load() {
		c.wire.ownWrite.Store(false)
		c.wire.writeSet = 0
		_ = c.wire.conn.SetWriteDeadline(timeOf(never))
	}
}

// cancel tells the request being handled that its client is gone.
func (c *serverConn) cancel(err error) {
	if ctx := c.current.Load(); ctx != nil {
		ctx.cancel(err)
	}
}

// rest gives the exchange back unless the next request is in it already. On
// a plain socket that is left to tryAwait.
func (c *serverConn) rest() {
	if c.wire.raw == nil && c.x.in.buffered() == 0 {
		c.x.release()
		c.x = nil
	}
}

// close ends the connection and whatever it holds.
func (c *serverConn) close() {
	c.server.forget(c)
	if c.hijacked {
		return
	}
	if c.x != nil {
		c.x.release()
		c.x = nil
	}
	_ = c.wire.conn.Close()
	if c.given != c.wire.conn {
		_ = c.given.Close()
	}
}

// refuse answers a request that the handler never sees, and lets the client
// read the answer before the connection closes.
func (c *serverConn) refuse(err error) {
	problem, ok := err.(*ProtocolError)
	if !ok {
		return // the client has gone, or had sent nothing
	}
	c.server.stats.refused.Add(1)
	if c.x.response.refuse(c.x, problem) == nil {
		c.linger()
	}
}

// linger reads and drops what the client still sends after our last word:
// closing a socket with unread bytes would reset the connection and could
// take the answer away with it. Nothing of it is read as a request.
func (c *serverConn) linger() {
	if closeWrite(c.wire.conn) != nil {
		return
	}
	socket := c.wire.conn
	if t, ok := socket.(*tls.Conn); ok {
		socket = t.NetConn()
	}
	_ = socket.SetReadDeadline(timeOf(after(now(), c.server.timeouts.Linger)))
	buf := headBuffers.Get().(*[headBuffer]byte)
	defer headBuffers.Put(buf)
	for dropped := 0; dropped < maxLinger && !c.server.closing.Load(); {
		n, err := socket.Read(buf[:])
		dropped += n
		if err != nil {
			return
		}
	}
}

// maxLinger is how much a refused client may send before it is cut off.
const maxLinger = 1 << 20
