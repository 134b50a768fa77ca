package source

import (
	"bytes"
	"strings"
)

// plainYAML converts to compact JSON what kubectl, and most people, write: block mappings and sequences of scalars of one line, in ASCII.
// It says nil to anything else, and to whatever it is not certain of (a word that YAML 1.1 may take for something else than a string, a key
// that is there twice): the whole of YAML, with its errors and warnings, is for the parser, which takes many times as long.
func plainYAML(text []byte) []byte {
	y := plain{rest: bytes.TrimPrefix(text, []byte("---\n"))}
	if !y.next() || y.indent != 0 || !y.block(0) || y.line != nil || y.unread() {
		return nil
	}
	return y.out
}

// plain is a reader of plain YAML that stands on a line.
type plain struct {
	rest   []byte
	line   []byte // without its indentation; nil at the end
	indent int
	bad    bool // a line is not plain
	out    []byte
	keys   [][]byte // of the mappings that it is in
	depth  int
}

const (
	maxPlainDepth = 100
	maxPlainKeys  = 64 // of one mapping: they are compared one by one
	maxPlainKey   = 128
)

func (y *plain) unread() bool { return y.bad || len(y.rest) > 0 }

// next goes to the next line that is neither empty nor a comment; false at the end.
func (y *plain) next() bool {
	for len(y.rest) > 0 && !y.bad {
		line, rest, _ := bytes.Cut(y.rest, []byte("\n"))
		y.rest, y.line = rest, bytes.TrimLeft(line, " ")
		y.indent = len(line) - len(y.line)
		for _, b := range y.line {
			y.bad = y.bad || b < ' ' || b > '~'
		}
		if len(y.line) > 0 && y.line[0] != '#' {
			return !y.bad
		}
	}
	y.line, y.indent = nil, -1
	return false
}

// block reads the mapping or sequence that begins on this line, at this indentation.
func (y *plain) block(indent int) bool {
	if y.depth++; y.depth > maxPlainDepth {
		return false
	}
	defer func() { y.depth-- }()
	if y.dash() {
		return y.sequence(indent)
	}
	return y.mapping(indent)
}

func (y *plain) dash() bool {
	return len(y.line) > 2 && y.line[0] == '-' && y.line[1] == ' ' && y.line[2] != ' '
}

func (y *plain) sequence(indent int) bool {
	y.out = append(y.out, '[')
	for y.line != nil && y.indent == indent && y.dash() {
		y.line, y.indent = y.line[2:], indent+2
		if _, _, isKey := y.key(); isKey || y.dash() {
			if !y.block(indent + 2) {
				return false
			}
		} else if !y.scalar(y.line) {
			return false
		} else {
			y.next()
		}
		y.out = append(y.out, ',')
	}
	return y.end(indent, ']')
}

func (y *plain) mapping(indent int) bool {
	first := len(y.keys)
	defer func() { y.keys = y.keys[:first] }()
	y.out = append(y.out, '{')
	for y.line != nil && y.indent == indent && !y.dash() {
		key, value, ok := y.key()
		if !ok || len(y.keys)-first == maxPlainKeys {
			return false
		}
		for _, before := range y.keys[first:] {
			if bytes.Equal(before, key) {
				return false
			}
		}
		y.keys = append(y.keys, key)
		y.out = append(append(append(y.out, '"'), key...), '"', ':')
		if !y.valueOf(indent, value) {
			return false
		}
		y.out = append(y.out, ',')
	}
	return y.end(indent, '}')
}

// valueOf reads what a key of a mapping has on its line, or in the lines below.
func (y *plain) valueOf(indent int, value []byte) bool {
	if len(value) > 0 {
		ok := y.scalar(value)
		y.next()
		return ok
	}
	switch y.next(); {
	case y.indent > indent:
		return y.block(y.indent)
	case y.indent == indent && y.dash():
		return y.block(indent)
	}
	y.out = append(y.out, "null"...)
	return true
}

// end closes a mapping or sequence; what follows has to belong to one that it stands in.
func (y *plain) end(indent int, bracket byte) bool {
	last := len(y.out) - 1
	if y.bad || y.indent > indent || y.out[last] != ',' || y.indent == indent && bracket == '}' {
		return false
	}
	y.out[last] = bracket
	return true
}

// key splits a line at the colon of its key.
func (y *plain) key() (key, value []byte, ok bool) {
	key, value, ok = bytes.Cut(y.line, []byte(":"))
	if !ok || len(key) > maxPlainKey || word(key) != aString || bytes.IndexByte(key, ' ') >= 0 {
		return nil, nil, false
	}
	if len(value) > 0 && (len(value) == 1 || value[0] != ' ') {
		return nil, nil, false
	}
	return key, bytes.TrimPrefix(value, []byte(" ")), true
}

// scalar writes the value of a line.
func (y *plain) scalar(text []byte) bool {
	last := len(text) - 1
	switch text[0] {
	case '{', '[':
		y.out = append(y.out, text...)
		return string(text) == "{}" || string(text) == "[]"
	case '"', '\'':
		if last == 0 || text[last] != text[0] || bytes.ContainsAny(text[1:last], `"'\`) {
			return false
		}
		text = text[1:last]
	default:
		switch word(text) {
		case aString:
		case aLiteral:
			y.out = append(y.out, text...)
			return true
		default:
			return false
		}
	}
	y.out = append(append(append(y.out, '"'), text...), '"')
	return true
}

// What a word without quotes is.
const (
	unclear = iota
	aString
	aLiteral // the same in JSON
)

// word tells what YAML 1.1 takes a word for, where that is easily told.
func word(text []byte) int {
	if len(text) == 0 || !isPlain(text) {
		return unclear
	}
	switch first := text[0]; {
	case '0' <= first && first <= '9':
		return number(text)
	case strings.IndexByte("yYnNtTfFoO", first) >= 0 && len(text) <= len("false"):
		return special(string(text))
	case first == '/' || first == '_' || 'a' <= first && first <= 'z' || 'A' <= first && first <= 'Z':
		return aString
	}
	return unclear
}

// isPlain tells that nothing in a word ends it or means something.
func isPlain(text []byte) bool {
	for i, b := range text {
		switch {
		case 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("._/-+=@(),;$", b) >= 0:
		case (b == ':' || b == ' ') && i+1 < len(text) && text[i+1] != ' ':
		default:
			return false
		}
	}
	return true
}

func special(text string) int {
	switch text {
	case "true", "false", "null":
		return aLiteral
	}
	switch strings.ToLower(text) {
	case "y", "yes", "n", "no", "true", "false", "on", "off", "null":
		return unclear
	}
	return aString
}

// number tells what a word is that begins with a digit: whole numbers as JSON writes them, and what can be no number of any base.
func number(text []byte) int {
	digits := 0
	for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
		digits++
	}
	switch {
	case digits == len(text) && digits <= 18 && (text[0] != '0' || digits == 1):
		return aLiteral
	case bytes.Count(text, []byte(".")) > 1, bytes.Count(text, []byte("-")) > 1, bytes.ContainsAny(text, "ghijklmnpqrstuvwyzGHIJKLMNPQRSTUVWYZ/"):
		return aString
	}
	return unclear
}
