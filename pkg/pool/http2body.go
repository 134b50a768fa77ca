package pool

import (
	"errors"
	"io"
	"sync"
)

// streamRequest is a request body as the library reads it. What the client sends is no silence.
//
// The library closes a body to end a read of it, when the endpoint has gone for example, and before that read ends it does not end the
// response either. The client's side cannot be woken like that: it belongs to the server, and the next try may want what comes. So each
// read waits on a goroutine of its own, which is left behind when the body is closed.
type streamRequest struct {
	from   io.ReadCloser
	x      *stream
	once   sync.Once
	closed chan struct{}
}

func newStreamRequest(from io.ReadCloser, x *stream) *streamRequest {
	return &streamRequest{from: from, x: x, closed: make(chan struct{})}
}

// errUnread is what the library returns for a request that the endpoint has not begun, when it cannot send the body again: it asks for
// the body only when the endpoint has said so, by GOAWAY or REFUSED_STREAM (RFC 9113 section 8.7).
var errUnread = errors.New("the endpoint has not begun the request")

// again is what the library asks for a body to send once more.
func (b *streamRequest) again() (io.ReadCloser, error) {
	if b.x.reading.Load() {
		return nil, errUnread
	}
	return newStreamRequest(b.from, b.x), nil
}

// piece is what one read has got.
type piece struct {
	buf *[pieceSize]byte
	n   int
	err error
}

const pieceSize = 16 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// Read implements io.Reader.
func (b *streamRequest) Read(p []byte) (int, error) {
	b.x.reading.Store(true)
	size, got := min(len(p), pieceSize), make(chan piece, 1)
	go func() {
		buf := pieces.Get().(*[pieceSize]byte)
		n, err := b.from.Read(buf[:size])
		got <- piece{buf, n, err}
	}()
	select {
	case g := <-got:
		n := copy(p, g.buf[:g.n])
		pieces.Put(g.buf)
		b.x.touch()
		return n, g.err
	case <-b.closed:
		return 0, errClosedBody
	}
}

var errClosedBody = errors.New("the body was closed")

// Close ends a read that waits.
func (b *streamRequest) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.from.Close()
}
