package http2

import "encoding/binary"

// receive acts on a frame. An error ends the connection.
func (c *conn) receive(f frame) error {
	switch f.kind {
	case frameData:
		return c.receiveData(f)
	case frameHeaders:
		return c.receiveHeaders(f)
	case framePriority:
		return c.receivePriority(f)
	case frameReset:
		return c.receiveReset(f)
	case frameSettings:
		return c.receiveSettings(f)
	case framePing:
		return c.receivePing(f)
	case frameGoAway:
		if f.stream != 0 {
			return broken(codeProtocol, "goaway-on-stream")
		}
		if len(f.payload) < 8 {
			return broken(codeFrameSize, "goaway-size")
		}
		return c.flood.idleFrame()
	case frameWindowUpdate:
		return c.receiveWindowUpdate(f)
	case framePushPromise, frameContinuation:
		return broken(codeProtocol, "unexpected-frame")
	}
	return c.flood.idleFrame() // unknown types are ignored, RFC 9113 section 4.1
}

func (c *conn) receivePriority(f frame) error {
	if f.stream == 0 {
		return broken(codeProtocol, "priority-on-connection")
	}
	if err := c.flood.idleFrame(); err != nil {
		return err
	}
	code, kind := codeProtocol, "priority-self"
	switch {
	case len(f.payload) != 5:
		code, kind = codeFrameSize, "priority-size"
	case binary.BigEndian.Uint32(f.payload)&maxWindow != f.stream:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.neverOpened(f.stream) { // and no RST_STREAM may be sent for it, RFC 9113 section 6.4
		return broken(code, kind)
	}
	return c.resetByClient(f.stream, code, kind)
}

// neverOpened reports whether a stream is idle: frames on it, but for HEADERS and
// PRIORITY, end the connection (RFC 9113 section 5.1). The lock is held.
func (c *conn) neverOpened(id uint32) bool { return id > max(c.last, c.ignored) || id%2 == 0 }

func (c *conn) receiveReset(f frame) error {
	switch {
	case f.stream == 0:
		return broken(codeProtocol, "reset-on-connection")
	case len(f.payload) != 4:
		return broken(codeFrameSize, "reset-size")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.neverOpened(f.stream) {
		return broken(codeProtocol, "idle-stream")
	}
	st := c.streams[f.stream]
	if st == nil {
		return c.flood.idleFrame()
	}
	begun := st.response.sent
	c.remove(st, false)
	st.kill(errStreamReset)
	if begun { // who has had some of the answer did not ask for nothing
		return c.flood.idleFrame()
	}
	return c.flood.reset()
}

// resetByClient resets a stream for what the client did. The lock is held.
func (c *conn) resetByClient(id uint32, code errCode, kind string) error {
	c.server.count(kind)
	c.out = appendUint32Frame(c.out, frameReset, id, uint32(code))
	if st := c.streams[id]; st != nil {
		c.remove(st, true)
		st.kill(errStreamReset)
	} else {
		c.note(id, true)
	}
	return c.flood.reset()
}

func (c *conn) receiveData(f frame) error {
	if f.stream == 0 {
		return broken(codeProtocol, "data-on-connection")
	}
	size := len(f.payload)
	if err := f.unpad(); err != nil {
		return err
	}
	if len(f.payload) == 0 && !f.has(flagEndStream) {
		if err := c.flood.idleFrame(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.neverOpened(f.stream) {
		return broken(codeProtocol, "idle-stream")
	}
	if c.unread += size; c.unread > c.server.limits.ConnectionWindow {
		return broken(codeFlowControl, "window-exceeded")
	}
	st := c.streams[f.stream]
	if st == nil || st.ended {
		c.giveBack(nil, size)
		if st == nil && c.resetByUs(f.stream) {
			return c.flood.idleFrame()
		}
		return c.resetByClient(f.stream, codeStreamClosed, "data-after-end")
	}
	b := st.body
	if b.held+size > c.server.limits.StreamWindow {
		c.giveBack(nil, size)
		return c.resetByClient(f.stream, codeFlowControl, "window-exceeded")
	}
	b.held += size
	b.received += int64(len(f.payload))
	if length := b.length; length >= 0 && (b.received > length || f.has(flagEndStream) && b.received < length) {
		c.giveBack(nil, size)
		return c.resetByClient(f.stream, codeProtocol, "body-length")
	}
	b.append(f.payload)
	c.giveBack(b, size-len(f.payload)) // the padding
	if f.has(flagEndStream) {
		st.ended = true
		b.end(nil)
	}
	return nil
}

// giveBack returns window to the client, in portions. The lock is held.
func (c *conn) giveBack(b *body, n int) {
	c.credit += n
	if c.credit >= c.server.limits.ConnectionWindow/4 {
		c.out = appendUint32Frame(c.out, frameWindowUpdate, 0, uint32(c.credit))
		c.unread -= c.credit
		c.credit = 0
	}
	if b == nil || n == 0 {
		return
	}
	if b.credit += n; b.credit >= c.server.limits.StreamWindow/4 && !b.over {
		c.out = appendUint32Frame(c.out, frameWindowUpdate, b.id, uint32(b.credit))
		b.held -= b.credit
		b.credit = 0
	}
}

// resetByUs reports whether frames on a closed stream may have crossed our
// RST_STREAM, or the GOAWAY that says that the stream is not looked at.
func (c *conn) resetByUs(id uint32) bool {
	if id > c.last {
		return true
	}
	for _, s := range c.closed {
		if s.id == id {
			return s.our
		}
	}
	return false
}

func (c *conn) closedLately(id uint32) bool {
	for _, s := range c.closed {
		if s.id == id {
			return true
		}
	}
	return false
}

// note remembers how a stream ended. The lock is held.
func (c *conn) note(id uint32, our bool) {
	for i := range c.closed {
		if c.closed[i].id == id {
			c.closed[i].our = our
			return
		}
	}
	c.closed[c.closedAt%len(c.closed)] = closedStream{id, our}
	c.closedAt++
}

// remove takes a stream off the connection. The lock is held.
func (c *conn) remove(st *stream, our bool) {
	if c.streams[st.id] != st {
		return
	}
	delete(c.streams, st.id)
	c.note(st.id, our)
	if st.body != nil {
		st.body.drop(c)
	}
	if len(c.streams) == 0 {
		c.server.active.Add(-1)
	}
}
