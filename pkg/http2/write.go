package http2

import (
	"os"
	"runtime"
	"slices"
	"time"
)

const (
	maxOut  = 64 << 10  // bytes that wait for the socket, above which handlers wait
	maxKept = 128 << 10 // of the buffers kept
)

// flush sends what is buffered, unless somebody is doing so. With yield others
// that are ready to run go first, so that what they have to send leaves in the
// same write: this is what makes TLS records and system calls few. The lock is
// held, and given up meanwhile.
func (c *conn) flush(yield bool) {
	if c.flushing || len(c.out) == 0 || c.failed != nil {
		return
	}
	c.flushing = true
	if yield {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	for passes := 0; len(c.out) > 0 && c.failed == nil; passes++ {
		if passes == 4 { // others keep it busy; this goroutine has its own to do
			go c.flushOn()
			return
		}
		c.flushOnce()
	}
	c.flushing = false
	c.room.Broadcast()
}

func (c *conn) flushOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > 0 && c.failed == nil {
		c.flushOnce()
	}
	c.flushing = false
	c.room.Broadcast()
}

func (c *conn) flushOnce() {
	b := c.out
	c.out, c.spare = c.spare[:0], nil
	c.writing = 0
	c.mu.Unlock()
	_, err := c.net.Write(b)
	c.mu.Lock()
	c.writing = -1
	if cap(b) <= maxKept {
		c.spare = b[:0]
	}
	if err != nil {
		c.fail(errClientGone)
		return
	}
	c.room.Broadcast()
}

// flushBeforeWait is the reader's: it sends what it answered, and lets a client that does not take answers wait.
func (c *conn) flushBeforeWait() {
	c.mu.Lock()
	c.flush(false)
	for len(c.out) > maxOut && c.failed == nil {
		c.room.Wait()
	}
	c.mu.Unlock()
}

// appendHeaders frames a field section. The lock is held.
func (c *conn) appendHeaders(st *stream, block []byte, end bool) {
	var flags byte
	if end {
		flags = flagEndStream
	}
	lead := 0
	if !c.shrunk {
		// Our encoder has no table: its size is 0 from the first section on (RFC 7541 section 6.3).
		c.shrunk, lead = true, 1
	}
	kind := byte(frameHeaders)
	for first := true; first || len(block) > 0; first = false {
		n := min(len(block), c.peerFrame-lead)
		if n == len(block) {
			flags |= flagEndHeaders
		}
		b := appendFrameHeader(c.out, n+lead, kind, flags)
		b = append(b, byte(st.id>>24), byte(st.id>>16), byte(st.id>>8), byte(st.id))
		if lead > 0 {
			b = append(b, 0x20)
			lead = 0
		}
		c.out = append(b, block[:n]...)
		block = block[n:]
		kind, flags = frameContinuation, 0
	}
}

// send frames data of a stream, waiting for the client's windows as it must. The lock is held.
func (c *conn) send(st *stream, data []byte, end bool) error {
	defer c.wakeWaiting() // also when this stream was woken and has died since, or those behind it would wait on
	for {
		if st.dead != nil {
			return st.dead
		}
		n := min(len(data), c.peerFrame, int(max(min(c.window, st.window), 0)))
		if len(c.out) > maxOut || n == 0 && len(data) > 0 {
			if err := c.waitToSend(st); err != nil {
				return err
			}
			continue
		}
		last := n == len(data)
		var flags byte
		if last && end {
			flags = flagEndStream
		}
		if n > 0 || flags != 0 {
			b := appendFrameHeader(c.out, n, frameData, flags)
			b = append(b, byte(st.id>>24), byte(st.id>>16), byte(st.id>>8), byte(st.id))
			c.out = append(b, data[:n]...)
			c.window -= int64(n)
			st.window -= int64(n)
			data = data[n:]
			if n >= few || len(data) == 0 && n > 0 {
				c.paid += paidByData
			}
		}
		if last {
			return nil
		}
	}
}

// waitToSend waits until the socket or the client has room for more of the stream, or has not for too long.
func (c *conn) waitToSend(st *stream) error {
	st.sending = true
	defer func() { st.sending = false }()
	c.flush(false)
	if st.dead != nil {
		return st.dead
	}
	if len(c.out) > maxOut {
		c.room.Wait() // the connection's clock bounds it
		return nil
	}
	if st.window > 0 && c.window > 0 {
		return nil
	}
	if st.window > 0 && !st.queued {
		st.queued = true
		c.waiting = append(c.waiting, st)
	}
	over := false
	timer := time.AfterFunc(c.server.timeouts.WriteIdle, func() {
		c.mu.Lock()
		over = true
		c.mu.Unlock()
		st.wake.Broadcast()
	})
	st.wake.Wait()
	timer.Stop()
	if st.queued {
		st.queued = false
		c.waiting = slices.DeleteFunc(c.waiting, func(w *stream) bool { return w == st })
	}
	if over && st.dead == nil {
		c.server.count("write-timeout")
		c.out = appendUint32Frame(c.out, frameReset, st.id, uint32(codeCancel))
		c.resets++
		c.remove(st, true)
		st.kill(os.ErrDeadlineExceeded)
	}
	return nil
}

// wakeWaiting lets the stream that has waited longest for the connection's window use it; that one wakes the next.
func (c *conn) wakeWaiting() {
	if c.window > 0 && len(c.waiting) > 0 {
		st := c.waiting[0]
		c.waiting = c.waiting[1:]
		st.queued = false
		st.wake.Signal()
	}
}
