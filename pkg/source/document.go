package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// document is one YAML or JSON document of a file.
type document struct {
	file string
	line int // of the file, where text begins; from 1
	text []byte

	isJSON bool // it is known to be JSON

	parse sync.Once
	tree  *yaml.Node // parsed for line numbers, when the first one is asked for
}

// documents splits a file. A document begins at each line "---", which stays in its text, and after each line "...". A file of JSON
// may hold several values one after the other.
func documents(file string, data []byte, yield func()) []*document {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		if docs := jsonDocuments(file, data, yield); docs != nil {
			return docs
		}
	}
	var docs []*document
	current, from, at := &document{file: file, line: 1}, 0, 0
	cut := func(next int) {
		current.text = data[from:at]
		docs, current, from = append(docs, current), &document{file: file, line: next}, at
	}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		marker := bytes.TrimRight(line, " \t\r\n")
		switch {
		case string(marker) == "---" || bytes.HasPrefix(marker, []byte("--- ")):
			cut(n)
		case string(marker) == "...":
			cut(n + 1)
			from += len(line)
		}
		at += len(line)
	}
	cut(0)
	return docs
}

// jsonDocuments splits a file of JSON objects; nil if it is not one, but perhaps YAML in flow style, or cut off.
func jsonDocuments(file string, data []byte, yield func()) []*document {
	var docs []*document
	values := decoder(data, yield)
	line, counted := 1, 0
	for values.More() {
		start := int(values.InputOffset())
		start += len(data[start:]) - len(bytes.TrimLeft(data[start:], " \t\r\n"))
		if _, err := readHead(values); err != nil {
			return nil
		}
		text := data[start:values.InputOffset()]
		line, counted = line+bytes.Count(data[counted:start], []byte("\n")), start
		docs = append(docs, &document{file: file, line: line, text: text, isJSON: true})
	}
	return docs
}

// json is the document as JSON, or nil for an empty one. A key that occurs twice is told as a warning; the last one counts.
func (d *document) json() (value []byte, warning string, err error) {
	if text := bytes.TrimPrefix(d.text, []byte("---\n")); d.isJSON || json.Valid(text) {
		return text, "", nil
	}
	value, err = sigsyaml.YAMLToJSONStrict(d.text)
	if err != nil {
		strict := err
		if value, err = sigsyaml.YAMLToJSON(d.text); err != nil {
			return nil, "", err
		}
		warning = strict.Error()
	}
	if string(value) == "null" {
		return nil, warning, nil
	}
	return value, warning, nil
}

// at is "file:line" of a field, such as `items[3].spec.rules[0].host`, or of the nearest one above it that is there.
func (d *document) at(field string) string {
	line := d.line
	if field == "" {
		line += d.blank()
	} else if node := d.root(); node != nil {
		line += descend(node, field) - 1
	}
	return d.file + ":" + strconv.Itoa(line)
}

// blank counts the lines before the first that says something.
func (d *document) blank() int {
	n := 0
	for line := range bytes.Lines(d.text) {
		if text := string(bytes.TrimSpace(line)); text != "" && text != "---" && text[0] != '#' {
			return n
		}
		n++
	}
	return 0
}

func (d *document) root() *yaml.Node {
	d.parse.Do(func() {
		var tree yaml.Node
		if yaml.Unmarshal(d.text, &tree) == nil && len(tree.Content) == 1 {
			d.tree = tree.Content[0]
		}
	})
	return d.tree
}

// step takes the first element off a field's path: "rules[0].host" gives "rules", "[0].host"; "[0].host" gives "[0]", "host".
var step = regexp.MustCompile(`^(\[\d+\]|[^.\[]+)\.?(.*)$`)

func descend(node *yaml.Node, field string) int {
	line := node.Line
	for field != "" {
		m := step.FindStringSubmatch(field)
		if m == nil {
			break
		}
		field = m[2]
		key, value := child(node, m[1])
		if value == nil {
			break
		}
		node, line = value, key.Line
	}
	return line
}

// child is an element of a sequence, or the key and value of a mapping.
func child(node *yaml.Node, name string) (key, value *yaml.Node) {
	if i, err := strconv.Atoi(strings.Trim(name, "[]")); err == nil && name[0] == '[' {
		if node.Kind == yaml.SequenceNode && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
		return nil, nil
	}
	if node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i], node.Content[i+1]
		}
	}
	return nil, nil
}

// lineIn finds the line that an error of the YAML parser names, which counts from the document's first.
var lineIn = regexp.MustCompile(`line (\d+)`)

// place is "file:line" of an error of the YAML parser, and its message without the line.
func (d *document) place(err string) (where, message string) {
	message = strings.TrimPrefix(strings.TrimPrefix(err, "error converting YAML to JSON: "), "yaml: ")
	m := lineIn.FindStringSubmatch(message)
	if m == nil {
		return fmt.Sprintf("%s:%d", d.file, d.line), message
	}
	n, _ := strconv.Atoi(m[1])
	message = strings.TrimPrefix(strings.Replace(message, m[0], "", 1), ": ")
	return fmt.Sprintf("%s:%d", d.file, d.line+n-1), message
}
