package pool

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// lengthReader is a connection to an endpoint that looks at the Content-Length of each response before the library does: from Go 1.27.4 on
// net/http removes lengths that contradict each other and goes on, where RFC 9113 section 8.1.1 has the response refused. Such a response
// gets one more field, badLengths, which checkResponse finds; everything else passes as it came.
type lengthReader struct {
	net.Conn

	in      *bufio.Reader
	frame   []byte // one with fields, read but not yet given on
	payload int    // what is left of the frame that passes
	passing bool   // nothing is looked at any more: the library will refuse what comes

	fields *hpack.Decoder
	status string
	length string
	bad    bool // a length is none, or not the one before
}

// badLengths is the field that marks a response. An endpoint that sends it itself has its response refused.
const badLengths = "Usher-Bad-Content-Length"

// maxFrame is the longest frame that the library is told to take (RFC 9113 section 4.2).
const maxFrame = 16 << 10

// Frame types, flags and sizes of RFC 9113 sections 4.1, 6.2 and 6.10.
const (
	headersFrame      = 0x1
	continuationFrame = 0x9
	endHeaders        = 0x4
	padded            = 0x8
	withPriority      = 0x20
	frameHead         = 9
)

func newLengthReader(conn net.Conn) *lengthReader {
	c := &lengthReader{Conn: conn, in: bufio.NewReader(conn)}
	c.fields = hpack.NewDecoder(4096, c.field)
	c.fields.SetMaxStringLength(maxHead)
	return c
}

func (c *lengthReader) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		c.status = f.Value
	case "content-length":
		_, err := strconv.ParseUint(f.Value, 10, 63)
		c.bad = c.bad || err != nil || c.length != "" && c.length != f.Value
		c.length = f.Value
	}
}

// Read gives on what came, up to the end of one frame.
func (c *lengthReader) Read(p []byte) (int, error) {
	if len(c.frame) == 0 && c.payload == 0 && !c.passing {
		if err := c.next(); err != nil {
			c.passing = true
			if len(c.frame) == 0 && c.in.Buffered() == 0 {
				return 0, err
			}
		}
	}
	if len(c.frame) > 0 {
		n := copy(p, c.frame)
		c.frame = c.frame[n:]
		return n, nil
	}
	if !c.passing {
		p = p[:min(len(p), c.payload)]
	}
	n, err := c.in.Read(p)
	c.payload = max(0, c.payload-n)
	return n, err
}

// next looks at the head of the next frame, and takes the whole of one with fields.
func (c *lengthReader) next() error {
	head, err := c.in.Peek(frameHead)
	if err != nil {
		return err
	}
	size := frameHead + (int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
	if kind := head[3]; kind != headersFrame && kind != continuationFrame || size > frameHead+maxFrame {
		c.payload = size
		return nil
	}
	frame := make([]byte, size, size+64)
	n, err := io.ReadFull(c.in, frame)
	if c.frame = frame[:n]; err != nil {
		return err
	}
	if err := c.look(); err != nil {
		c.passing = true
	}
	return nil
}

// look reads the fields of the frame, and marks it when it ends those of a response with a bad length.
func (c *lengthReader) look() error {
	block, err := fragment(c.frame)
	if err != nil {
		return err
	}
	if _, err := c.fields.Write(block); err != nil {
		return err
	}
	if c.frame[4]&endHeaders == 0 {
		return nil
	}
	if err := c.fields.Close(); err != nil {
		return err
	}
	if len(c.status) == 3 && c.status[0] != '1' && c.bad {
		c.mark()
	}
	c.status, c.length, c.bad = "", "", false
	return nil
}

// fragment is what a frame holds of a field block (RFC 9113 section 6.2).
func fragment(frame []byte) ([]byte, error) {
	kind, flags, block := frame[3], frame[4], frame[frameHead:]
	if kind == continuationFrame {
		return block, nil
	}
	pad := 0
	if flags&padded != 0 && len(block) > 0 {
		pad, block = int(block[0]), block[1:]
	}
	if flags&withPriority != 0 {
		if len(block) < 5 {
			return nil, errFrame
		}
		block = block[5:]
	}
	if pad > len(block) {
		return nil, errFrame
	}
	return block[:len(block)-pad], nil
}

var errFrame = errors.New("a HEADERS frame that is shorter than it says")

// mark adds a frame with a literal field, which changes nothing of the compression's state (RFC 7541 section 6.2.2).
func (c *lengthReader) mark() {
	const field = "\x00\x18usher-bad-content-length\x011"
	c.frame[4] &^= endHeaders
	c.frame = append(c.frame, 0, 0, byte(len(field)), continuationFrame, endHeaders)
	c.frame = append(c.frame, c.frame[5:frameHead]...)
	c.frame = append(c.frame, field...)
}
