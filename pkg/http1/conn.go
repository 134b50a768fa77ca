package http1

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"
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

	x          *exchange // nil while idle
	served     int
	hijacked   bool
	duplicated bool // the handler has a second descriptor of the socket
	over       bool // no further request
	lingers    bool // the client may still be sending
	held       bool // within ready: nobody may read from the socket
	idle       bool
	limit      int64 // of the wait for the next request
	readyFn    func(uintptr) bool
	first      [1]byte // what a read that is not on a plain socket waits with
	watch      watch
	// bodyDone: the handler has the whole request, and no further one was
	// read with it, so that the end of the stream means a client gone.
	bodyDone atomic.Bool
	// current is the context of the request being handled.
	current atomic.Pointer[requestContext]
}

func (c *serverConn) serve() {
	defer c.close()
	for !c.over && c.await() {
		if err := c.x.readHead(); err != nil {
			if err == errPreface && c.served == 0 && c.server.HTTP2 != nil {
				c.handOver()
			} else {
				c.refuse(err)
			}
			break
		}
		c.handle(c.x)
	}
	if c.lingers {
		c.linger()
	}
}

// handle answers one request and reports whether the connection goes on.
func (c *serverConn) handle(x *exchange) (again bool) {
	c.served++
	c.server.stats.requests.Add(1)
	x.prepare()
	c.current.Store(x.ctx)
	c.bodyDone.Store(x.handle == nil && x.in.buffered() == 0)
	c.watch.begin()
	ok := c.call(x)
	c.watch.end()
	c.current.Store(nil)
	if !x.ctx.finish() {
		x.ctx = nil // others may hold it
	}
	c.over = c.hijacked || !x.finish(ok)
	return !c.over
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
	return c.server.leaving.Load() || c.server.draining.Load() || c.server.maxRequests > 0 && c.served >= c.server.maxRequests
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

// giveAway hands the connection to the handler. Within ready the socket is
// locked for readers, so the handler gets a duplicate; requests with Upgrade
// are not handled there, so that those get the socket itself.
func (c *serverConn) giveAway() (net.Conn, error) {
	conn := c.wire.conn
	if c.held {
		var err error
		if conn, err = duplicate(conn); err != nil {
			return nil, err
		}
		c.duplicated = true
	}
	c.watch.end()
	c.hijacked = true
	c.server.hijack(c)
	_ = c.wire.conn.SetDeadline(time.Time{})
	return conn, nil
}

// handOver gives a connection to who speaks HTTP/2, from its first byte on.
func (c *serverConn) handOver() {
	c.wake()
	read := append([]byte(preface), c.x.in.bytes()...)
	c.x.release()
	c.x = nil
	c.hijacked = true
	c.server.hijack(c)
	_ = c.wire.conn.SetDeadline(time.Time{})
	c.server.HTTP2(c.given, read)
}

func duplicate(c net.Conn) (net.Conn, error) {
	socket, ok := c.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, http.ErrNotSupported
	}
	f, err := socket.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return net.FileConn(f)
}

// close ends the connection and whatever it holds.
func (c *serverConn) close() {
	c.wake()
	c.server.forget(c)
	if c.hijacked && !c.duplicated {
		return
	}
	if c.x != nil && !c.hijacked {
		c.x.release()
		c.x = nil
	}
	_ = c.wire.conn.Close()
	if c.hijacked {
		return
	}
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
	c.lingers = c.x.response.refuse(c.x, problem) == nil
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
