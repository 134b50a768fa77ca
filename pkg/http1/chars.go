package http1

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/usher-ingress/usher/pkg/field"
)

// The classes of bytes, see package field.
const (
	tokenChar  = field.TokenChar
	valueChar  = field.ValueChar
	targetChar = field.TargetChar
	plainChar  = field.PlainChar
	hexChar    = field.HexChar
)

// class maps a byte to the classes it is in. It is never written.
var class = field.Classes()

// isFieldValue reports whether s holds no control byte but HTAB.
func isFieldValue(s string) bool { return valueEnd(s) == len(s) }

// valueEnd returns how many bytes of s, from its start, may stand in a field
// value. It looks at eight bytes at a time: of the bytes that word marks the
// lowest is a control byte for certain.
func valueEnd(s string) int {
	b, i := unsafe.Slice(unsafe.StringData(s), len(s)), 0
	for ; len(b)-i >= 8; i += 8 {
		marks := controls(binary.LittleEndian.Uint64(b[i:]))
		if marks == 0 {
			continue
		}
		at := i + bits.TrailingZeros64(marks)/8
		if b[at] != '\t' {
			return at
		}
		i = at + 1 - 8
	}
	if i < len(b) && len(b) >= 8 && controls(binary.LittleEndian.Uint64(b[len(b)-8:])) == 0 {
		return len(b)
	}
	for ; i < len(b); i++ {
		if class[b[i]]&valueChar == 0 {
			return i
		}
	}
	return len(b)
}

// controls marks the highest bit of bytes below 0x20 and of 0x7f.
func controls(word uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	deleted := word ^ ones*0x7f
	return ((word-ones*0x20)&^word | (deleted-ones)&^deleted) & highs
}

// trimOWS removes optional whitespace (RFC 9110 5.6.3) around a value.
func trimOWS(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// equalFold compares ASCII without regard to case; lower must be lower case.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if lowerByte(s[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// nextElement cuts the first element off a comma-separated list.
func nextElement(list string) (element, rest string) {
	for i := 0; i < len(list); i++ {
		if list[i] == ',' {
			return trimOWS(list[:i]), list[i+1:]
		}
	}
	return trimOWS(list), ""
}

// digits reads 1*DIGIT that fits an int64.
func digits(s string) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}
