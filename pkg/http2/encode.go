package http2

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// staticNames are the indexes of response field names in HPACK's static table (RFC 7541 appendix A), by canonical name.
var staticNames = map[string]byte{
	"Accept-Ranges": 18, "Access-Control-Allow-Origin": 20, "Age": 21, "Allow": 22, "Cache-Control": 24, "Content-Disposition": 25,
	"Content-Encoding": 26, "Content-Language": 27, "Content-Length": 28, "Content-Location": 29, "Content-Range": 30, "Content-Type": 31,
	"Date": 33, "Etag": 34, "Expires": 36, "Last-Modified": 44, "Link": 45, "Location": 46, "Refresh": 52, "Retry-After": 53, "Server": 54,
	"Set-Cookie": 55, "Strict-Transport-Security": 56, "Vary": 59, "Via": 60, "Www-Authenticate": 61,
}

// appendInteger encodes n in a prefix of bits (RFC 7541 section 5.1).
func appendInteger(b []byte, first byte, bits uint, n int) []byte {
	limit := 1<<bits - 1
	if n < limit {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	return append(appendInteger(b, 0, 7, len(s)), s...)
}

// appendField encodes a field as a literal that no table keeps.
func appendField(b []byte, name, value string) []byte {
	if index := staticNames[name]; index > 0 {
		return appendString(appendInteger(b, 0, 4, int(index)), value)
	}
	b = appendInteger(append(b, 0), 0, 7, len(name))
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		b = append(b, c)
	}
	return appendString(b, value)
}

func appendStatus(b []byte, status int) []byte {
	switch status {
	case 200:
		return append(b, 0x88)
	case 204:
		return append(b, 0x89)
	case 206:
		return append(b, 0x8a)
	case 304:
		return append(b, 0x8b)
	case 400:
		return append(b, 0x8c)
	case 404:
		return append(b, 0x8d)
	case 500:
		return append(b, 0x8e)
	}
	return strconv.AppendInt(append(b, 0x08, 3), int64(status), 10)
}

// sendable reports whether a field may be sent: one that belongs to a
// connection may not, and one that would not be a field is left out.
func sendable(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Te", "Trailer", "Http2-Settings":
		return false
	}
	return name != "" && strings.IndexByte(name, ':') < 0 && validName(strings.ToLower(name))
}

// appendHeader encodes fields that may be sent.
func appendHeader(b []byte, h http.Header, skip func(string) bool) []byte {
	for name, values := range h {
		if staticNames[name] == 0 && !sendable(name) || skip != nil && skip(name) {
			continue
		}
		for _, value := range values {
			if !validValue(value) {
				value = clean(value)
			}
			b = appendField(b, name, value)
		}
	}
	return b
}

// clean makes a value one that may be sent, as net/http does.
func clean(value string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, value), " \t")
}

func appendDate(b []byte) []byte {
	const length = len(http.TimeFormat)
	b = appendInteger(appendInteger(b, 0, 4, 33), 0, 7, length)
	return time.Now().UTC().AppendFormat(b, http.TimeFormat)
}
