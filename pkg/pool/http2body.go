package pool

import (
	"errors"
	"io"
	"strings"
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

// noBody is a body of a request without one. With it the library does not send the request again by itself, which it does, up to six
// times, after RST_STREAM with PROTOCOL_ERROR as well: that does not say that the endpoint has not worked on it.
type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
func (noBody) Close() error             { return nil }

// The library's words for a request with a body that it would have sent again. It does not wrap the error.
const (
	notRepeated = "http2: Transport: cannot retry err ["
	goAway      = notRepeated + "http2: Transport received Server's graceful shutdown GOAWAY]"
	notUsable   = notRepeated + "http2: client conn not usable]"
	refused     = "; REFUSED_STREAM; "
)

// notBegun reports whether the endpoint has said, by GOAWAY or REFUSED_STREAM (RFC 9113 section 8.7), that it has not begun the request.
func notBegun(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, goAway) || strings.HasPrefix(text, notUsable) ||
		strings.HasPrefix(text, notRepeated) && strings.Contains(text, refused)
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
