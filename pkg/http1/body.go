package http1

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/field"
)

// framing is how the end of a body is found (RFC 9112 6.3).
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// bodyReader reads one body off a wire, in either direction.
type bodyReader struct {
	wire *wire
	in   *inbuf
	idle time.Duration // how long a read may wait

	framing framing
	left    int64 // of the body, or of the current chunk
	chunks  chunkState
	err     error // sticky; io.EOF after the end
	holding int64 // until when beforeBlock is put off, see wait; 0 before the first wait

	// trailers receives the trailer section; nil drops it.
	trailers func(name string, id fieldID, value string)
	limits   *bodyLimits
}

// bodyLimits bounds what a chunked body may carry besides data.
type bodyLimits struct {
	extensions int  // bytes of chunk extensions in one body
	trailer    int  // bytes of the trailer section
	fields     int  // fields in the trailer section
	padded     bool // a chunk size may be followed by whitespace, as endpoints send it
}

func (b *bodyReader) start(f framing, length int64) {
	b.framing, b.left, b.err, b.holding = f, length, nil, 0
	b.chunks = chunkState{}
	if f == noBody || f == byLength && length == 0 {
		b.err = io.EOF
	}
}

// done reports whether the whole body was read.
func (b *bodyReader) done() bool { return b.err == io.EOF }

// read reads body bytes. The end is reported together with the last bytes
// when it is known without waiting. Before it waits for the peer it calls
// beforeBlock (see wire.read).
func (b *bodyReader) read(p []byte, beforeBlock func() error) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	switch b.framing {
	case byLength:
		n, err = b.readData(p, beforeBlock)
		if err == nil && b.left == 0 {
			err = io.EOF
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	case byClose:
		n, err = b.readAny(p, beforeBlock)
	case byChunks:
		n, err = b.readChunks(p, beforeBlock)
		if err == io.EOF && !b.chunks.ended {
			err = io.ErrUnexpectedEOF
		}
	}
	b.err = err
	return n, err
}

// readData reads at most the left bytes of the body or chunk.
func (b *bodyReader) readData(p []byte, beforeBlock func() error) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.readAny(p, beforeBlock)
	b.left -= int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (b *bodyReader) readAny(p []byte, beforeBlock func() error) (int, error) {
	if b.in.buffered() > 0 {
		return b.in.copyTo(p), nil
	}
	return b.wait(p, beforeBlock)
}

// hold is how long beforeBlock is put off while the peer owes bytes that it has announced. An answer that fails within that time
// has not been begun to the client, and can be replaced.
const hold = int64(50 * time.Millisecond)

// wait reads from the wire. At most once in a body, for hold, it waits without calling beforeBlock.
func (b *bodyReader) wait(p []byte, beforeBlock func() error) (int, error) {
	if beforeBlock != nil && b.holding >= 0 && b.owed() {
		if b.holding == 0 {
			b.holding = now() + hold
		}
		if now() < b.holding {
			n, err := b.wire.read(p, b.holding, nil)
			if n > 0 || !isTimeout(err) || now() < b.holding {
				return n, err
			}
		}
	}
	b.holding = -1
	return b.wire.read(p, after(now(), b.idle), beforeBlock)
}

// owed reports whether the peer is within something it has announced: a body with a length, a chunk, a trailer section. Between
// chunks it may think for as long as it likes.
func (b *bodyReader) owed() bool {
	switch b.framing {
	case byLength:
		return true
	case byChunks:
		return b.chunks.phase != chunkSize || b.in.buffered() > 0
	}
	return false
}

// fill reads more bytes into the buffer.
func (b *bodyReader) fill(beforeBlock func() error) error {
	if !b.in.room(len(b.in.buf)) {
		return malformed("long-chunk-line", "a line of the chunked coding does not fit the buffer")
	}
	n, err := b.wait(b.in.space(), beforeBlock)
	b.in.filled(n)
	if n > 0 {
		return nil
	}
	return err
}

// forbiddenTrailer names fields that must not come in a trailer section
// because they are acted on before it (RFC 9110 6.5.1), and those by which a
// proxy tells an application who is asking: it may read both sections alike.
func forbiddenTrailer(id fieldID, name string) bool {
	if hopByHop(id) || id == idProxy {
		return true
	}
	switch name {
	case "Authorization", "Cache-Control", "Content-Encoding", "Content-Range", "Content-Type",
		"Cookie", "Forwarded", "Max-Forwards", "Proxy-Authorization", "Range", "Set-Cookie",
		"X-Real-Ip", "X-Request-Id", "X-Scheme":
		return true
	}
	for _, prefix := range [...]string{"X-Forwarded-", "X-Original-", "Ssl-Client-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// ForbiddenTrailer reports whether a field, by its canonical name, is one that is
// never taken from a trailer section.
func ForbiddenTrailer(name string) bool { return forbiddenTrailer(lookupName(name), name) }

// announced returns the trailer map that net/http promises: the names of the
// Trailer field with nil values, filled at the end of the body. To announce
// the framing itself for the end is an error.
func announced(fields *fieldSet) (http.Header, *ProtocolError) {
	list := fields.header["Trailer"]
	delete(fields.header, "Trailer")
	t := make(http.Header, len(list))
	for _, line := range list {
		for line != "" {
			var name string
			name, line = nextElement(line)
			if !field.IsToken(name) {
				continue
			}
			c, id := canonicalName(name)
			if id == idContentLength || id == idTransferEncoding || id == idTrailer {
				return nil, malformed("bad-trailer", "Trailer announces %s", c)
			}
			if !forbiddenTrailer(id, c) {
				t[c] = nil
			}
		}
	}
	return t, nil
}
