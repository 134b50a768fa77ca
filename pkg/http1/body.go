package http1

import (
	"io"
	"net/http"
	"strings"
	"time"
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

	// trailers receives the trailer section; nil drops it.
	trailers func(name string, id fieldID, value string)
	limits   *bodyLimits
}

// bodyLimits bounds what a chunked body may carry besides data.
type bodyLimits struct {
	extensions int // bytes of chunk extensions in one body
	trailer    int // bytes of the trailer section
	fields     int // fields in the trailer section
}

func (b *bodyReader) start(f framing, length int64) {
	b.framing, b.left, b.err = f, length, nil
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
	return b.wire.read(p, after(now(), b.idle), beforeBlock)
}

// fill reads more bytes into the buffer.
func (b *bodyReader) fill(beforeBlock func() error) error {
	if !b.in.room(len(b.in.buf)) {
		return malformed("long-chunk-line", "a line of the chunked coding does not fit the buffer")
	}
	n, err := b.wire.read(b.in.space(), after(now(), b.idle), beforeBlock)
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

// ForbiddenTrailer tells whether a field, by its canonical name, is one that is
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
			if !isToken(name) {
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
