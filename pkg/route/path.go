package route

import "errors"

// ErrBadPath is a path that must not be forwarded: it escapes the root, or has a malformed or forbidden escape.
var ErrBadPath = errors.New("malformed path")

// Normalize gives the form of a request path that routes are matched on, as nginx does: percent-decoded once, duplicate slashes
// merged, dot segments resolved (RFC 3986 section 5.2.4). "%2F" is decoded like all else: an endpoint that decodes the path reads a
// slash there, so "/x/..%2Fadmin" must meet what stands before "/admin". "%252F" becomes the text "%2F", which is not a slash.
// A path that is already normal is returned as it is, without allocating.
//
// The result is decoded text: a "%" in it is a character, and it must not be decoded again. What is sent to endpoints is the
// client's own bytes.
//
// It fails on "..", above the root, on "%00", and on a "%" not followed by two hex digits. The query must have been cut off.
func Normalize(path string) (string, error) {
	if path == "" || path[0] != '/' {
		return "", ErrBadPath
	}
	if isNormal(path) {
		return path, nil
	}
	return normalize(path)
}

// isNormal reports whether normalize would return path as it is. Elements that merely begin with a dot, such as ".well-known", are normal.
func isNormal(path string) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '%':
			return false
		case '/':
			if !startsNormal(path[i+1:]) {
				return false
			}
		}
	}
	return true
}

// startsNormal reports whether the element that rest begins with is neither empty, unless it is the last, nor "." nor "..".
func startsNormal(rest string) bool {
	if rest == "" || rest[0] != '/' && rest[0] != '.' {
		return true
	}
	dots := 0
	for dots < len(rest) && rest[dots] == '.' {
		dots++
	}
	ends := dots == len(rest) || rest[dots] == '/'
	return dots > 2 || !ends
}

func normalize(path string) (string, error) {
	decoded, err := decode(path)
	if err != nil {
		return "", err
	}
	out := make([]byte, 0, len(decoded))
	for i := 0; i < len(decoded); {
		end := i + 1
		for end < len(decoded) && decoded[end] != '/' {
			end++
		}
		segment, last := decoded[i+1:end], end == len(decoded)
		switch string(segment) {
		case "", ".":
			if last {
				out = append(out, '/')
			}
		case "..":
			if len(out) == 0 {
				return "", ErrBadPath
			}
			for out[len(out)-1] != '/' {
				out = out[:len(out)-1]
			}
			if !last {
				out = out[:len(out)-1]
			}
		default:
			out = append(append(out, '/'), segment...)
		}
		i = end
	}
	return string(out), nil
}

func decode(path string) ([]byte, error) {
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			out = append(out, path[i])
			continue
		}
		if i+2 >= len(path) {
			return nil, ErrBadPath
		}
		high, ok1 := unhex(path[i+1])
		low, ok2 := unhex(path[i+2])
		if !ok1 || !ok2 {
			return nil, ErrBadPath
		}
		c := high<<4 | low
		if c == 0 {
			return nil, ErrBadPath
		}
		out = append(out, c)
		i += 2
	}
	return out, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
