package http1

import (
	"net/http"
	"strings"
)

// fieldSet is a header map that is filled again for every message. The value
// slices are windows of one array.
type fieldSet struct {
	header http.Header
	values []string
	seen   [2]uint64 // known names present, one bit for each fieldID
	count  int
}

// A map that once was large stays large; above this it is dropped.
const keepFields = 64

func (f *fieldSet) reset() {
	if f.header == nil || len(f.header) > keepFields || cap(f.values) > 2*keepFields {
		f.header = make(http.Header, 8)
		f.values = make([]string, 0, 24)
	} else {
		clear(f.header)
		clear(f.values)
		f.values = f.values[:0]
	}
	f.seen = [2]uint64{}
	f.count = 0
}

func (f *fieldSet) has(id fieldID) bool { return f.seen[id>>6]&(1<<(id&63)) != 0 }

// add appends a value to the canonical name.
func (f *fieldSet) add(name string, id fieldID, value string) {
	fresh := id != idNone && !f.has(id)
	if id != idNone {
		f.seen[id>>6] |= 1 << (id & 63)
	}
	if !fresh {
		if old, ok := f.header[name]; ok {
			f.header[name] = append(old, value)
			return
		}
	}
	if len(f.values) == cap(f.values) {
		// The windows handed out keep the old array alive.
		f.values = make([]string, 0, 2*cap(f.values))
	}
	n := len(f.values)
	f.values = append(f.values, value)
	f.header[name] = f.values[n : n+1 : n+1]
}

// nextField takes one field line off lines, which ends with CRLF. The name is
// not canonical yet.
func nextField(lines string) (name, value, rest string, err *ProtocolError) {
	colon := 0
	for colon < len(lines) && class[lines[colon]]&tokenChar != 0 {
		colon++
	}
	if colon > 0 && colon < len(lines) && lines[colon] == ':' {
		from := colon + 1
		end := from + valueEnd(lines[from:])
		if end+1 < len(lines) && lines[end] == '\r' && lines[end+1] == '\n' {
			return lines[:colon], trimOWS(lines[from:end]), lines[end+2:], nil
		}
	}
	return "", "", "", fieldError(lines)
}

// fieldError says why the first of lines is not a field line.
func fieldError(lines string) *ProtocolError {
	end := strings.IndexByte(lines, '\n')
	if end < 1 || lines[end-1] != '\r' {
		return malformed("bare-lf", "a line ends without CR: %.80q", lines)
	}
	line, i := lines[:end-1], 0
	for i < len(line) && class[line[i]]&tokenChar != 0 {
		i++
	}
	switch {
	case i == len(line):
		return malformed("no-colon", "field line without a colon: %.80q", line)
	case line[i] != ':' || i == 0:
		return fieldNameError(line, i)
	}
	return fieldValueError(line[:i], trimOWS(line[i+1:]))
}

func fieldNameError(line string, at int) *ProtocolError {
	switch c := line[at]; {
	case at == 0 && (c == ' ' || c == '\t'):
		return malformed("obs-fold", "line folding or leading space: %.80q", line)
	case at == 0 && c == ':':
		return malformed("empty-name", "empty field name: %.80q", line)
	case c == ' ' || c == '\t':
		return malformed("space-in-name", "space in or after a field name: %.80q", line)
	case c == '\r':
		return malformed("bare-cr", "CR inside a field line: %.80q", line)
	default:
		return malformed("bad-name", "invalid byte %q in a field name: %.80q", c, line)
	}
}

func fieldValueError(name, value string) *ProtocolError {
	if strings.IndexByte(value, '\r') >= 0 {
		return malformed("bare-cr", "CR inside the value of %.80q", name)
	}
	return malformed("bad-value", "control byte in the value of %.80q: %.80q", name, value)
}

// hasUnderscore finds names that a CGI-like backend cannot tell from the same
// name with a hyphen.
func hasUnderscore(name string) bool { return strings.IndexByte(name, '_') >= 0 }
