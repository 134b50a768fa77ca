package http1

import (
	"bytes"
	"io"
)

// The chunked coding (RFC 9112 7.1), read strictly:
//
//	chunk-size = 1*16HEXDIG that fits an int64, no whitespace around it; an
//	             endpoint, not a client, may pad it with whitespace behind
//	extensions = *( ";" token [ "=" ( token / quoted-string ) ] ), bounded in all
//	every line ends with CRLF, and so does the data of a chunk
//
// Between the parts of extensions a recipient must accept whitespace (RFC 9110
// 5.6.3, BWS), and does; before the first it would be whitespace around the
// size, where the standard library refuses it too.
//
// The reader parses only whole lines that are in the buffer, so a line is
// never read twice.

type chunkPhase uint8

const (
	chunkSize chunkPhase = iota
	chunkData
	chunkDataEnd
	chunkTrailer
)

type chunkState struct {
	phase      chunkPhase
	ended      bool
	extensions int // bytes seen in this body
	trailer    int
	fields     int
}

func (b *bodyReader) readChunks(p []byte, beforeBlock func() error) (n int, err error) {
	for {
		if b.chunks.phase == chunkData {
			if n == len(p) {
				return n, nil
			}
			if n > 0 && b.in.buffered() == 0 {
				return n, nil
			}
			m, err := b.readData(p[n:], beforeBlock)
			n += m
			if err != nil {
				return n, err
			}
			if b.left == 0 {
				b.chunks.phase = chunkDataEnd
			}
			continue
		}
		progress, err := b.chunkLine()
		if err != nil || b.chunks.ended {
			return n, err
		}
		if progress {
			continue
		}
		if n > 0 {
			return n, nil
		}
		if err := b.fill(beforeBlock); err != nil {
			return n, err
		}
	}
}

// chunkLine parses one line of the coding out of the buffer; false means that
// more bytes are needed. At the end of the body it returns io.EOF.
func (b *bodyReader) chunkLine() (bool, error) {
	held := b.in.bytes()
	if b.chunks.phase == chunkDataEnd {
		if len(held) > 0 && held[0] != '\r' || len(held) > 1 && held[1] != '\n' {
			return false, malformed("bad-chunk-end", "chunk data is not followed by CRLF: %.20q", held)
		}
		if len(held) < 2 {
			return false, nil
		}
		b.in.discard(2)
		b.chunks.phase = chunkSize
		return true, nil
	}
	i := bytes.IndexByte(held, '\n')
	if i < 0 {
		return false, b.unfinishedLine(held)
	}
	if i == 0 || held[i-1] != '\r' {
		return false, malformed("bare-lf", "a line of the chunked coding ends without CR: %.40q", held[:i+1])
	}
	line := held[:i-1]
	b.in.discard(i + 1)
	if b.chunks.phase == chunkTrailer {
		return b.trailerLine(line)
	}
	return true, b.sizeLine(line)
}

// unfinishedLine refuses what cannot become a valid line any more, so that a
// peer cannot fill the buffer or hold a wrong size open.
func (b *bodyReader) unfinishedLine(held []byte) error {
	if b.chunks.phase == chunkSize {
		if i := bytes.IndexByte(held, '\r'); i >= 0 && i != len(held)-1 {
			return malformed("bare-cr", "CR inside a chunk size line: %.40q", held)
		}
		if len(held) > 16 && bytes.IndexByte(held[:17], ';') < 0 && bytes.IndexByte(held[:17], '\r') < 0 && !(b.limits.padded && class[held[16]]&hexChar == 0) {
			return malformed("bad-chunk-size", "chunk size: %.40q", held)
		}
		if len(held)+b.chunks.extensions > b.limits.extensions+18 {
			return malformed("long-chunk-extension", "chunk extensions exceed %d bytes", b.limits.extensions)
		}
		return nil
	}
	if len(held)+b.chunks.trailer > b.limits.trailer {
		return b.longTrailer()
	}
	return nil
}

func (b *bodyReader) longTrailer() error {
	return refusal(431, "large-trailer", "the trailer section exceeds %d bytes", b.limits.trailer)
}

func (b *bodyReader) sizeLine(line []byte) error {
	var size uint64
	i := 0
	for ; i < len(line) && class[line[i]]&hexChar != 0; i++ {
		if i == 16 {
			break
		}
		size = size<<4 | uint64(unhex(line[i]))
	}
	ext := line[i:]
	if b.limits.padded && len(skipBlank(ext)) == 0 {
		ext = nil
	}
	if i == 0 || size > 1<<62 || len(ext) > 0 && ext[0] != ';' {
		return malformed("bad-chunk-size", "chunk size: %.40q", line)
	}
	if len(ext) > 0 {
		b.chunks.extensions += len(ext)
		if b.chunks.extensions > b.limits.extensions {
			return malformed("long-chunk-extension", "chunk extensions exceed %d bytes", b.limits.extensions)
		}
		if !validExtensions(ext) {
			return malformed("bad-chunk-extension", "chunk extension: %.40q", ext)
		}
	}
	b.left = int64(size)
	b.chunks.phase = chunkData
	if size == 0 {
		b.chunks.phase = chunkTrailer
	}
	return nil
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	default:
		return c | 0x20 - 'a' + 10
	}
}

// validExtensions checks *( ";" token [ "=" ( token / quoted-string ) ] ).
func validExtensions(ext []byte) bool {
	for len(ext) > 0 {
		if ext[0] != ';' {
			return false
		}
		var n int
		if ext, n = skipToken(ext[1:]); n == 0 {
			return false
		}
		if len(ext) == 0 || ext[0] != '=' {
			continue
		}
		if ext = skipBlank(ext[1:]); len(ext) > 0 && ext[0] == '"' {
			n = quotedEnd(ext)
			ext = skipBlank(ext[n:])
		} else {
			ext, n = skipToken(ext)
		}
		if n == 0 {
			return false
		}
	}
	return true
}

// skipToken returns what follows a token and the whitespace around it, and the
// token's length.
func skipToken(s []byte) (rest []byte, n int) {
	s = skipBlank(s)
	for n < len(s) && class[s[n]]&tokenChar != 0 {
		n++
	}
	return skipBlank(s[n:]), n
}

func skipBlank(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// quotedEnd returns the length of the quoted-string at the start of s, or 0.
func quotedEnd(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1
		case s[i] == '\\':
			i++
			if i == len(s) || class[s[i]]&valueChar == 0 {
				return 0
			}
		case class[s[i]]&valueChar == 0:
			return 0
		}
	}
	return 0
}

func (b *bodyReader) trailerLine(line []byte) (bool, error) {
	if len(line) == 0 {
		b.chunks.ended = true
		return true, io.EOF
	}
	b.chunks.trailer += len(line) + 2
	b.chunks.fields++
	if b.chunks.trailer > b.limits.trailer || b.chunks.fields > b.limits.fields {
		return false, b.longTrailer()
	}
	name, value, _, err := nextField(string(line) + "\r\n")
	if err != nil {
		return false, err
	}
	if canonical, id := canonicalName(name); b.trailers != nil && !forbiddenTrailer(id, canonical) {
		b.trailers(canonical, id, value)
	}
	return true, nil
}

// hexLen is the length of the largest chunk head we write: 8 digits and CRLF.
const hexLen = 10

// appendChunkHead writes the size line of a chunk.
func appendChunkHead(dst []byte, n int) []byte {
	const hex = "0123456789abcdef"
	started := false
	for shift := 28; shift >= 0; shift -= 4 {
		d := n >> shift & 15
		if d == 0 && !started && shift > 0 {
			continue
		}
		started = true
		dst = append(dst, hex[d])
	}
	return append(dst, '\r', '\n')
}
