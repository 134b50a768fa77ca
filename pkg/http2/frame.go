package http2

import (
	"encoding/binary"
	"time"
)

// Frame types and flags of RFC 9113 section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePushPromise  = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	frameHeader = 9
	maxFrame    = 16 << 10 // the least there is; larger frames only need larger buffers
	maxWindow   = 1<<31 - 1
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// frame is one as it lies in the read buffer; payload is valid until the next is read.
type frame struct {
	kind    byte
	flags   byte
	stream  uint32
	payload []byte
}

func (f *frame) has(flag byte) bool { return f.flags&flag != 0 }

// unpad removes the padding of DATA and HEADERS.
func (f *frame) unpad() error {
	if !f.has(flagPadded) {
		return nil
	}
	if len(f.payload) == 0 {
		return broken(codeFrameSize, "padding")
	}
	pad := int(f.payload[0])
	if pad >= len(f.payload) {
		return broken(codeProtocol, "padding")
	}
	f.payload = f.payload[1 : len(f.payload)-pad]
	return nil
}

// next reads a frame. Before it waits for bytes, what is to be sent goes out.
func (c *conn) next() (frame, error) {
	if err := c.need(frameHeader); err != nil {
		return frame{}, err
	}
	h := c.in[c.start:]
	length := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	f := frame{kind: h[3], flags: h[4], stream: binary.BigEndian.Uint32(h[5:]) & maxWindow}
	if length > maxFrame {
		return f, broken(codeFrameSize, "frame-too-long")
	}
	if err := c.need(frameHeader + length); err != nil {
		return f, err
	}
	f.payload = c.in[c.start+frameHeader : c.start+frameHeader+length]
	c.start += frameHeader + length
	return f, nil
}

const smallBuffer = 4 << 10

// need reads until n bytes are buffered.
func (c *conn) need(n int) error {
	for c.end-c.start < n {
		if c.start == c.end {
			c.start, c.end = 0, 0
		}
		c.makeRoom(n)
		c.flushBeforeWait()
		if partial := c.end > c.start || c.inBlock; partial != c.timed {
			c.timed = partial
			deadline := time.Time{}
			if partial {
				deadline = time.Now().Add(c.server.timeouts.Head)
			}
			_ = c.net.SetReadDeadline(deadline)
		}
		got, err := c.net.Read(c.in[c.end:])
		c.end += got
		if err != nil && c.end-c.start < n {
			return err
		}
	}
	return nil
}

// makeRoom moves what is buffered to the front, in a larger buffer if n bytes need one.
func (c *conn) makeRoom(n int) {
	if c.start+n <= len(c.in) && c.end < len(c.in) {
		return
	}
	to := c.in
	if n > len(c.in) {
		to = make([]byte, frameHeader+maxFrame)
	}
	c.end = copy(to, c.in[c.start:c.end])
	c.start, c.in = 0, to
}

func appendFrameHeader(b []byte, length int, kind, flags byte) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags)
}

func appendFrame(b []byte, kind, flags byte, stream uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, kind, flags), stream)
}

func appendUint32Frame(b []byte, kind byte, stream, value uint32) []byte {
	b = binary.BigEndian.AppendUint32(appendFrameHeader(b, 4, kind, 0), stream)
	return binary.BigEndian.AppendUint32(b, value)
}
