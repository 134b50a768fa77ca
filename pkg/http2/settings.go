package http2

import "encoding/binary"

// Settings of RFC 9113 section 6.5.2.
const (
	settingTableSize     = 0x1
	settingEnablePush    = 0x2
	settingMaxStreams    = 0x3
	settingInitialWindow = 0x4
	settingMaxFrame      = 0x5
	settingMaxHeaderList = 0x6
	settingConnect       = 0x8 // RFC 8441 section 3
)

func (c *conn) receiveSettings(f frame) error {
	switch {
	case f.stream != 0:
		return broken(codeProtocol, "settings-on-stream")
	case f.has(flagAck) && len(f.payload) > 0, len(f.payload)%6 != 0:
		return broken(codeFrameSize, "settings-size")
	case f.has(flagAck):
		return c.flood.idleFrame()
	}
	const usual = 16 // settings in a frame
	for range max(1, len(f.payload)/6-usual) {
		if err := c.flood.idleFrame(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := f.payload; len(b) > 0; b = b[6:] {
		if err := c.set(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])); err != nil {
			return err
		}
	}
	c.out = appendFrame(c.out, frameSettings, flagAck, 0)
	return nil
}

// set applies one setting, in the order they came. Our encoder has no table, so its size does not matter.
func (c *conn) set(id uint16, value uint32) error {
	switch id {
	case settingEnablePush:
		if value > 1 {
			return broken(codeProtocol, "bad-setting")
		}
	case settingInitialWindow:
		if value > maxWindow {
			return broken(codeFlowControl, "bad-setting")
		}
		delta := int64(value) - c.initial
		c.initial = int64(value)
		for _, st := range c.streams {
			if st.window += delta; st.window > maxWindow {
				return broken(codeFlowControl, "window-overflow")
			}
			st.wake.Broadcast()
		}
	case settingConnect: // of servers; a client that says it is not wrong
		if value > 1 {
			return broken(codeProtocol, "bad-setting")
		}
	case settingMaxFrame:
		if value < maxFrame || value > 1<<24-1 {
			return broken(codeProtocol, "bad-setting")
		}
	}
	return nil
}

func (c *conn) receivePing(f frame) error {
	switch {
	case f.stream != 0:
		return broken(codeProtocol, "ping-on-stream")
	case len(f.payload) != 8:
		return broken(codeFrameSize, "ping-size")
	case f.has(flagAck):
		if string(f.payload) == leavePing {
			c.left()
		}
		return c.flood.idleFrame()
	}
	if err := c.flood.idleFrame(); err != nil {
		return err
	}
	c.mu.Lock()
	c.out = append(appendFrameHeader(c.out, 8, framePing, flagAck), 0, 0, 0, 0)
	c.out = append(c.out, f.payload...)
	c.mu.Unlock()
	return nil
}

func (c *conn) receiveWindowUpdate(f frame) error {
	if len(f.payload) != 4 {
		return broken(codeFrameSize, "window-update-size")
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & maxWindow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.stream == 0 {
		if n == 0 {
			return broken(codeProtocol, "window-update-zero")
		}
		waits := c.window <= 0 && len(c.waiting) > 0
		if c.window += n; c.window > maxWindow {
			return broken(codeFlowControl, "window-overflow")
		}
		c.wakeWaiting()
		return c.dribble(n, waits)
	}
	if c.neverOpened(f.stream) {
		return broken(codeProtocol, "idle-stream")
	}
	st := c.streams[f.stream]
	switch {
	case n == 0:
		return c.resetByClient(f.stream, codeProtocol, "window-update-zero")
	case st == nil: // it may have crossed the end
		return nil
	}
	waits := st.window <= 0 && st.sending
	if st.window += n; st.window > maxWindow {
		return c.resetByClient(f.stream, codeFlowControl, "window-overflow")
	}
	st.wake.Broadcast()
	return c.dribble(n, waits)
}

// few bytes of window, or of a body, are not worth a frame.
const few = 128

// dribble counts a few bytes of window for an answer that waits for more: each
// would cost us a frame and a record (CVE-2019-9511). A client that gives back
// the little that it got, before its window is used up, is not meant.
func (c *conn) dribble(n int64, waits bool) error {
	if waits && n < few {
		return c.flood.idleFrame()
	}
	return nil
}
