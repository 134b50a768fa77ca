package source

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"

	kjson "sigs.k8s.io/json"
)

// maxNesting is how deep JSON may nest: what encoding/json reads.
const maxNesting = 10_000

// compactor checks JSON, as encoding/json does, and copies it without the white space between its tokens, which is more than half of
// what kubectl writes. Decoders look at each byte several times and slowly; this looks once, and spares them the rest.
type compactor struct {
	in  []byte
	at  int // of what was not read yet
	out []byte
}

// compact is text without white space; nil if it is not one JSON value.
func compact(text []byte) []byte {
	c := compactor{in: text}
	if !c.value(1) {
		return nil
	}
	if c.space(); c.at < len(text) {
		return nil
	}
	return c.out
}

// more tells whether another value follows. Like encoding/json's Decoder it stops, without a word, at brackets that were never opened.
func (c *compactor) more() bool {
	c.space()
	return c.at < len(c.in) && c.in[c.at] != '}' && c.in[c.at] != ']'
}

func (c *compactor) space() {
	for c.at < len(c.in) && (c.in[c.at] == ' ' || c.in[c.at] == '\n' || c.in[c.at] == '\r' || c.in[c.at] == '\t') {
		c.at++
	}
}

// take copies b, if it is next after white space.
func (c *compactor) take(b byte) bool {
	c.space()
	if c.at == len(c.in) || c.in[c.at] != b {
		return false
	}
	c.at++
	c.out = append(c.out, b)
	return true
}

func (c *compactor) value(depth int) bool {
	if c.space(); c.at == len(c.in) {
		return false
	}
	switch c.in[c.at] {
	case '{':
		return c.list(depth, '}', func() bool { return c.text() && c.take(':') && c.value(depth+1) })
	case '[':
		return c.list(depth, ']', func() bool { return c.value(depth + 1) })
	case '"':
		return c.text()
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

// list copies an object or an array, whose elements one copies.
func (c *compactor) list(depth int, end byte, one func() bool) bool {
	if c.out == nil {
		c.out = make([]byte, 0, len(c.in)-c.at)
	}
	c.take(c.in[c.at])
	if depth > maxNesting {
		return false
	}
	if c.take(end) {
		return true
	}
	for one() {
		if !c.take(',') {
			return c.take(end)
		}
	}
	return false
}

func (c *compactor) word(word string) bool {
	if !bytes.HasPrefix(c.in[c.at:], []byte(word)) {
		return false
	}
	c.at += len(word)
	c.out = append(c.out, word...)
	return true
}

// text copies a string with its quotes.
func (c *compactor) text() bool {
	c.space()
	if c.at == len(c.in) || c.in[c.at] != '"' {
		return false
	}
	for i := c.at + 1; i < len(c.in); i++ {
		switch b := c.in[i]; {
		case b == '"':
			c.out = append(c.out, c.in[c.at:i+1]...)
			c.at = i + 1
			return true
		case b < ' ':
			return false
		case b == '\\':
			n := escape(c.in[i+1:])
			if n == 0 {
				return false
			}
			i += n
		}
	}
	return false
}

// escape is how long an escape is after its backslash; 0 if it is none.
func escape(text []byte) int {
	switch {
	case len(text) == 0:
	case strings.IndexByte(`"\/bfnrt`, text[0]) >= 0:
		return 1
	case text[0] == 'u' && len(text) >= 5 && isHex(text[1]) && isHex(text[2]) && isHex(text[3]) && isHex(text[4]):
		return 5
	}
	return 0
}

func isHex(b byte) bool { return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F' }

func (c *compactor) number() bool {
	from := c.at
	c.skip("-")
	if c.skip("0") == 0 && c.digits() == 0 {
		return false
	}
	if c.skip(".") > 0 && c.digits() == 0 {
		return false
	}
	if c.skip("eE") > 0 {
		if c.skip("+-"); c.digits() == 0 {
			return false
		}
	}
	c.out = append(c.out, c.in[from:c.at]...)
	return true
}

// skip passes one of those bytes, if it is next, and tells how many it passed.
func (c *compactor) skip(those string) int {
	if c.at == len(c.in) || strings.IndexByte(those, c.in[c.at]) < 0 {
		return 0
	}
	c.at++
	return 1
}

func (c *compactor) digits() int {
	from := c.at
	for c.at < len(c.in) && '0' <= c.in[c.at] && c.in[c.at] <= '9' {
		c.at++
	}
	return c.at - from
}

// members are the keys, with their quotes, and values of an object in compact JSON.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for at := 1; at < len(object)-1; at++ {
			colon := at + length(object[at:])
			end := colon + 1 + length(object[colon+1:])
			if !yield(object[at:colon], object[colon+1:end]) {
				return
			}
			at = end
		}
	}
}

// elements are those of an array in compact JSON.
func elements(array []byte) []json.RawMessage {
	all := []json.RawMessage{}
	for at := 1; at < len(array)-1; at++ {
		end := at + length(array[at:])
		all = append(all, array[at:end:end])
		at = end
	}
	return all
}

// length is that of the first value in compact JSON.
func length(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':':
		default:
			if i+1 < len(text) && text[i+1] != ',' && text[i+1] != '}' && text[i+1] != ']' {
				continue // within a number or a word
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// head is what every object begins with.
type head struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Items      []json.RawMessage `json:"items"` // of a List; nil where there are none
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
}

// readHead reads the head of an object in compact JSON. All else is cut away before it is decoded.
func readHead(value []byte) (head, error) {
	var items []json.RawMessage
	brief := pick(value, func(key string, field []byte) []byte {
		switch key {
		case "apiVersion", "kind":
			return field
		case "metadata":
			return pick(field, func(key string, field []byte) []byte {
				if key == "name" || key == "generateName" || key == "namespace" {
					return field
				}
				return nil
			})
		case "items":
			if items = nil; field[0] != '[' {
				return field // to be refused, unless it is null
			}
			items = elements(field)
		}
		return nil
	})
	var h head
	err := kjson.UnmarshalCaseSensitivePreserveInts(brief, &h)
	h.Items = items
	return h, err
}

// pick is an object of the members that choose gives a value; what is no object stays as it is.
func pick(value []byte, choose func(key string, field []byte) []byte) []byte {
	if value[0] != '{' {
		return value
	}
	picked := []byte{'{'}
	for quoted, field := range members(value) {
		key := string(quoted[1 : len(quoted)-1])
		if strings.Contains(key, `\`) {
			_ = json.Unmarshal(quoted, &key) // known to be valid
		}
		if field = choose(key, field); field != nil {
			picked = append(append(append(picked, quoted...), ':'), field...)
			picked = append(picked, ',')
		}
	}
	if last := len(picked) - 1; picked[last] == ',' {
		picked[last] = '}'
		return picked
	}
	return append(picked, '}')
}
