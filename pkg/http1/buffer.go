package http1

import (
	"bytes"
	"sync"
)

const (
	headBuffer = 8 << 10  // for heads, and for what is read along with them
	copyBuffer = 32 << 10 // for bodies that do not go through the kernel
)

// Buffers are the same for every server and transport of a process, so they
// share two pools: caches, whose content nobody relies on.
var (
	headBuffers = sync.Pool{New: func() any { return new([headBuffer]byte) }}
	copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}
)

// giveBack puts a buffer for heads into the pool, for its holder to forget; one
// that had to grow is the collector's.
func giveBack(buf []byte) {
	if cap(buf) == headBuffer {
		headBuffers.Put((*[headBuffer]byte)(buf[:headBuffer]))
	}
}

// inbuf holds bytes that were read and not yet used: buf[r:w].
type inbuf struct {
	buf []byte
	r   int
	w   int
}

func (b *inbuf) buffered() int { return b.w - b.r }
func (b *inbuf) bytes() []byte { return b.buf[b.r:b.w] }
func (b *inbuf) discard(n int) { b.r += n }
func (b *inbuf) reset()        { b.r, b.w = 0, 0 }
func (b *inbuf) space() []byte { return b.buf[b.w:] }
func (b *inbuf) filled(n int)  { b.w += n }
func (b *inbuf) copyTo(p []byte) int {
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n
}

// room makes space for at least one more byte, growing up to limit bytes in
// all; it reports false when limit bytes are held already.
func (b *inbuf) room(limit int) bool {
	if b.r > 0 {
		if b.r == b.w {
			b.reset()
		} else if b.w == len(b.buf) {
			b.w = copy(b.buf, b.buf[b.r:b.w])
			b.r = 0
		}
	}
	if b.w < len(b.buf) {
		return b.buffered() < limit
	}
	if b.buffered() >= limit {
		return false
	}
	grown := make([]byte, min(2*len(b.buf), max(limit, headBuffer)))
	copy(grown, b.buf[:b.w])
	b.buf = grown
	return true
}

// shrink gives back a buffer that had to grow. The bytes held must fit.
func (b *inbuf) shrink() {
	if len(b.buf) != headBuffer {
		b.buf = headBuffers.Get().(*[headBuffer]byte)[:]
		b.reset()
	}
}

// drop gives the buffer back; nothing can be read any more.
func (b *inbuf) drop() {
	giveBack(b.buf)
	*b = inbuf{}
}

// headEnd looks for the end of a head (the empty line) in b, from offset from
// on. It returns the length of the head including the empty line, or 0 and
// where to continue when more bytes are there. A line that ends without CR is
// refused as soon as it is seen.
func headEnd(b []byte, from int) (end, next int, err *ProtocolError) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, len(b), nil
		}
		i += from
		if i == 0 || b[i-1] != '\r' {
			return 0, 0, malformed("bare-lf", "a line of the head ends without CR")
		}
		if i >= 3 && b[i-2] == '\n' {
			return i + 1, i + 1, nil
		}
		from = i + 1
	}
}
