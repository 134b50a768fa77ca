package http1

import "github.com/usher-ingress/usher/pkg/sock"

// Waiting for requests, and serving them, costs one read for each.
//
// On a plain socket the whole life of a connection is one call of
// RawConn.Read, whose callback is ready: it is called when bytes have
// arrived, reads them, serves every request that is complete, and returns
// false to wait again. In between, the edge-triggered poller forgets no
// arrival, so that the usual read which finds nothing, before parking, is not
// needed. (A new call of RawConn.Read does forget, therefore each begins with
// an attempt.) While it waits the connection holds no exchange.
//
// One thing such a read would have found: the end of the stream, when it
// arrived in one piece with the request. The watch looks for that once, when
// the connection has been idle for a moment, and kicks it.
//
// While the callback runs the socket is locked for other readers. A request
// that must read more, because its head or body is not complete or it may
// hijack the connection, is therefore left to serve, outside the callback.
//
// Elsewhere (TLS) the wait is a read of one byte, and serve does the rest; see
// sock.Conn.Attempt for where it waits.

// await serves what can be served at once, and returns true when serve has to
// go on with what is in the exchange; false ends the connection.
func (c *serverConn) await() bool {
	if c.pending() {
		return true
	}
	if c.x != nil && c.wire.raw == nil {
		c.x.release()
		c.x = nil
	}
	c.rest()
	defer c.wake()
	for {
		if c.server.draining.Load() {
			return c.lastCall()
		}
		if c.wire.stop.Load() {
			return false
		}
		err := c.awaitOnce()
		if err == nil {
			return !c.over && (c.pending() || c.server.draining.Load() && c.lastCall())
		}
		if !c.server.draining.Load() && !c.wire.fired(err, c.limit) {
			return false
		}
	}
}

func (c *serverConn) awaitOnce() error {
	if c.wire.raw != nil {
		return c.wire.raw.Read(c.readyFn)
	}
	n, err := c.wire.readOnce(c.first[:])
	if n == 1 {
		c.x = takeExchange(c)
		c.x.in.buf[0] = c.first[0]
		c.x.in.filled(1)
		return nil
	}
	return err
}

// ready is what RawConn.Read calls: see above. It returns true when serve has
// to take over, and at the end of the stream.
func (c *serverConn) ready(fd uintptr) bool {
	for {
		if c.x == nil {
			c.x = takeExchange(c)
		}
		x := c.x
		x.in.reset()
		n, err := sock.Read(fd, x.in.buf)
		if err != nil && sock.WouldBlock(err) {
			return c.park()
		}
		if n == 0 {
			return true
		}
		x.in.filled(n)
		c.wake()
		for x.in.buffered() > 0 {
			if !c.quick(x, fd) {
				return true
			}
		}
		if n < len(x.in.buf) { // nothing was left in the socket
			return c.park()
		}
	}
}

// quick serves one request if it is all there.
func (c *serverConn) quick(x *exchange, fd uintptr) bool {
	x.startHead()
	n, err := x.scanHead()
	if n == 0 && err == nil {
		return false
	}
	if err == nil {
		err = x.parseHead(n)
	}
	x.headDone, x.headErr = true, err
	if err != nil || !x.complete() {
		return false
	}
	x.headDone = false
	c.held, c.wire.fd, c.wire.inside = true, fd, true
	again := c.handle(x)
	c.held, c.wire.inside = false, false
	return again
}

// complete reports whether the request can be handled without reading more
// than is buffered.
func (x *exchange) complete() bool {
	h := &x.head
	return !h.upgrade && !h.expects && (h.framing == noBody || h.framing == byLength && h.length <= int64(x.in.buffered()))
}

// park gives the exchange back and makes the connection idle. True: it is to
// end instead.
func (c *serverConn) park() bool {
	c.x.release()
	c.x = nil
	c.rest()
	return c.server.draining.Load() || c.wire.stop.Load()
}

// rest begins the wait for the next request. What it sets is looked at by
// drain, after that has announced the end; so it must be set before.
func (c *serverConn) rest() {
	if c.idle {
		return
	}
	c.idle = true
	c.server.stats.idle.Add(1)
	wait := c.server.timeouts.KeepAlive
	if c.served == 0 {
		wait = c.server.timeouts.FirstByte
	}
	c.limit = after(now(), wait)
	c.wire.armRead(c.limit)
}

func (c *serverConn) wake() {
	if c.idle {
		c.idle = false
		c.server.stats.idle.Add(-1)
	}
}

// lastCall serves a request that was on its way when Shutdown was called, if
// its bytes are here already.
func (c *serverConn) lastCall() bool {
	if c.wire.raw == nil || c.x != nil {
		return false
	}
	c.wire.setRead(never)
	_ = c.wire.raw.Read(func(fd uintptr) bool {
		c.x = takeExchange(c)
		n, _ := sock.Read(fd, c.x.in.buf)
		c.x.in.filled(n)
		return true
	})
	return c.pending()
}

// pending reports whether there is something for serve to go on with.
func (c *serverConn) pending() bool {
	return c.x != nil && (c.x.headDone || c.x.in.buffered() > 0)
}
