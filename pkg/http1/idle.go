package http1

// await waits for the first byte of the next request without holding a
// buffer, and reports whether there is one.
//
// On a plain socket the wait is on readiness: each attempt takes an exchange
// and reads into it; when there is nothing, the exchange goes back before the
// goroutine parks. That costs no system call more than an ordinary read.
// Elsewhere (TLS) the wait is a read of one byte.
func (c *serverConn) await() bool {
	if c.x != nil && c.x.in.buffered() > 0 {
		return true
	}
	idle := c.server.timeouts.KeepAlive
	if c.served == 0 {
		idle = c.server.timeouts.FirstByte
	}
	limit := after(now(), idle)
	c.idle.Store(true)
	c.server.stats.idle.Add(1)
	defer func() {
		c.idle.Store(false)
		c.server.stats.idle.Add(-1)
	}()
	for {
		c.wire.armRead(limit)
		if c.server.draining.Load() {
			return c.lastCall()
		}
		if c.wire.stop.Load() {
			return false
		}
		err := c.awaitOnce()
		if err == nil {
			return c.x != nil && c.x.in.buffered() > 0
		}
		if c.server.draining.Load() {
			return c.lastCall()
		}
		if !c.wire.fired(err, limit) {
			return false
		}
	}
}

func (c *serverConn) awaitOnce() error {
	if c.wire.raw != nil {
		return c.wire.raw.Read(c.waitFn)
	}
	n, err := c.wire.conn.Read(c.first[:])
	if n == 1 {
		c.x = takeExchange(c)
		c.x.in.buf[0] = c.first[0]
		c.x.in.filled(1)
		return nil
	}
	return err
}

// tryAwait is what RawConn.Read calls. After an error or the end of the
// stream it returns true and leaves nothing buffered.
func (c *serverConn) tryAwait(fd uintptr) bool {
	if c.x == nil {
		c.x = takeExchange(c)
	}
	c.x.in.reset()
	n, err := readSocket(fd, c.x.in.buf)
	if err != nil && wouldBlock(err) {
		c.x.release()
		c.x = nil
		return false
	}
	c.x.in.filled(n)
	return true
}

// lastCall serves a request that was on its way when Shutdown was called, if
// its bytes are here already.
func (c *serverConn) lastCall() bool {
	if c.wire.raw == nil {
		return false
	}
	c.wire.setRead(never)
	found := false
	_ = c.wire.raw.Read(func(fd uintptr) bool {
		found = c.tryAwait(fd)
		return true
	})
	return found && c.x != nil && c.x.in.buffered() > 0
}
