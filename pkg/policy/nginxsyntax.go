package policy

import (
	"errors"
	"strings"
)

// nginx's grammar, as far as it is needed to find directives: words are separated by white space, a word may be quoted, "#" before a word
// starts a comment, ";" ends a directive and "{" opens its block. What nginx would refuse is an error here too, so that no text is read in
// another way than nginx reads it:
//
//	location /internal { "return" 404; } # deny all;     is location, then return

// walkDirectives calls visit with each directive, a block's before those in it, until it returns true. The names in the blocks of
// "map" and its like are data, and not visited.
func walkDirectives(text string, visit func(words []string) (stop bool)) error {
	r := nginxReader{text: text}
	var words []string
	data := 0 // depth at which a block of data was opened; 0 is none
	for depth := 0; ; {
		word, kind, err := r.next()
		if err != nil {
			return err
		}
		switch {
		case kind == nginxWord:
			words = append(words, word)
			continue
		case kind == nginxEnd && len(words) == 0 && depth == 0:
			return nil
		case kind == nginxEnd:
			return errors.New("a directive or block is not ended")
		case kind == nginxClose && (depth == 0 || len(words) > 0), kind != nginxClose && len(words) == 0:
			return errors.New("unexpected end of a directive or block")
		}
		if kind != nginxClose && data == 0 && visit(words) {
			return nil
		}
		switch {
		case kind == nginxOpen:
			if depth++; data == 0 && holdsData(words[0]) {
				data = depth
			}
		case kind == nginxClose:
			if data == depth {
				data = 0
			}
			depth--
		}
		words = words[:0]
	}
}

func holdsData(block string) bool {
	switch block {
	case "map", "geo", "types", "split_clients", "charset_map", "upstream":
		return true
	}
	return false
}

type nginxToken int

const (
	nginxEnd nginxToken = iota
	nginxWord
	nginxSemicolon
	nginxOpen
	nginxClose
)

// nginxReader splits a text into tokens.
type nginxReader struct {
	text string
	at   int
}

func (r *nginxReader) next() (string, nginxToken, error) {
	r.skipSpace()
	if r.at == len(r.text) {
		return "", nginxEnd, nil
	}
	switch c := r.text[r.at]; c {
	case ';':
		r.at++
		return "", nginxSemicolon, nil
	case '{':
		r.at++
		return "", nginxOpen, nil
	case '}':
		r.at++
		return "", nginxClose, nil
	case '"', '\'':
		return r.quoted(c)
	}
	return r.bare(), nginxWord, nil
}

// skipSpace skips white space and comments.
func (r *nginxReader) skipSpace() {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case isNginxSpace(c):
			r.at++
		case c == '#':
			end := strings.IndexByte(r.text[r.at:], '\n')
			if end < 0 {
				end = len(r.text) - r.at
			}
			r.at += end
		default:
			return
		}
	}
}

func isNginxSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// quoted reads up to the same quote, after which a word must end.
func (r *nginxReader) quoted(quote byte) (string, nginxToken, error) {
	start := r.at + 1
	for i := start; i < len(r.text); i++ {
		switch r.text[i] {
		case '\\':
			i++
		case quote:
			if r.at = i + 1; r.at < len(r.text) && !isNginxSpace(r.text[r.at]) && strings.IndexByte(";{)", r.text[r.at]) < 0 {
				return "", nginxEnd, errors.New("unexpected text after a quote")
			}
			return unescapeNginx(r.text[start:i]), nginxWord, nil
		}
	}
	return "", nginxEnd, errors.New("a quote is not closed")
}

// bare reads a word without quotes; "${name}" in it opens no block.
func (r *nginxReader) bare() string {
	start := r.at
	for variable := false; r.at < len(r.text); r.at++ {
		c := r.text[r.at]
		if c == '{' && variable {
			variable = false
			continue
		}
		if isNginxSpace(c) || c == ';' || c == '{' {
			break
		}
		if c == '\\' && r.at+1 < len(r.text) {
			r.at++
		}
		variable = c == '$'
	}
	return unescapeNginx(r.text[start:r.at])
}

var nginxEscapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`, `\t`, "\t", `\r`, "\r", `\n`, "\n")

func unescapeNginx(word string) string {
	if strings.IndexByte(word, '\\') < 0 {
		return word
	}
	return nginxEscapes.Replace(word)
}
