package source

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	sigsyaml "sigs.k8s.io/yaml"
)

// FuzzYAML holds the fast reading of plain YAML to what the parser says of the same text: it may leave any to the parser, and says the
// same of the rest, which the parser has nothing to say against.
func FuzzYAML(f *testing.F) {
	for _, seed := range append(plainTexts(), "a: yes\n", "a: 1.5", "a: 012", "a: 0x1F", "a: 1e3", "a: 1_000", "a: 12:30:45", "1: a", "y: n", "~: a", "a: .inf", "a: -1", "a: 'it''s'", "a: \"\\n\"",
		"a: |\n  b\n", "a: >-\n b", "a: &x b\nc: *x", "<<: {a: b}", "a: !!str 1", "a: b\n  c", "a: b # c", "a: b: c", "a:  b", "a: b ", "a: {b: c}", "a: [b]", "? a\n: b", "a:\tb", "\ta: b", "a: b\r\n", "- a\n -b\n",
		"a: b\na: c\n", "a:\n- b\n c: d\n", "- a: b\n   c: d\n", "- a\nb: c\n", "a:\n  - b\n  c: d\n", "  a: b\n", "a: b\n c: d\n", "a:\n    b: c\n  d: e\n", "a: -", "-", "- ", "- - ", "-  a", "a:b", "é: b", "a: 2024-01-01", "...", "--- a", "---\n---\n",
		"a: 9223372036854775808", "a: 999999999999999999", "a: \"b\" c", "a: b\n---\n", "a: <<", "a: =", "a: 0b1", "a: 1-0-b", "a: 1:2", "a :b: c", "a: b :c", "a: b:") {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fast := plainYAML(data)
		if fast == nil {
			return
		}
		slow, err := sigsyaml.YAMLToJSONStrict(data)
		if err != nil {
			t.Fatalf("read %q as %s; the parser says %v", data, fast, err)
		}
		if got, want := tree(t, fast), tree(t, slow); !reflect.DeepEqual(got, want) {
			t.Errorf("read %q as %s, want %s", data, fast, slow)
		}
		if again := compact(fast); !bytes.Equal(again, fast) {
			t.Errorf("%s is not compact, as %s is", fast, again)
		}
	})
}

func tree(t *testing.T, text []byte) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return value
}

// plainTexts are some that need no parser.
func plainTexts() []string {
	return []string{
		"---\n# a comment\na: b\nc: d e/f\n\n  # another\ng:\n  h: true\n  i: null\n  j:\nk: 10\n", "a:\n- b\n- c: d\n  e: {}\n- - f\n  - 0\n- 10.0.0.1\ng: []\n", "- a:\n  - b: 'c: #d'\n    e: \"\"\n  f: 10.0.0.0/8\n- 30s\n",
		"a: 00000000-0000-4000-8000-000000000000\nb: 2024-01-01T00:00:00Z\nkubernetes.io/c: host-0.example.com\n_d: /api\n",
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    labels:\n      app.kubernetes.io/name: a\n    name: a\n  spec:\n    ports:\n    - name: http\n      port: 80\n  status:\n    loadBalancer: {}\n",
	}
}

// TestPlainYAML: what kubectl writes does not need the parser.
func TestPlainYAML(t *testing.T) {
	for _, text := range plainTexts() {
		if plainYAML([]byte(text)) == nil {
			t.Errorf("left to the parser: %q", text)
		}
	}
	var deep, wide strings.Builder
	for i := range maxPlainDepth + 1 {
		deep.WriteString(strings.Repeat(" ", i) + "a:\n")
		wide.WriteString(strings.Repeat("a", i+1) + ": b\n")
	}
	for _, text := range []string{deep.String(), wide.String()} {
		if plainYAML([]byte(text)) != nil {
			t.Errorf("not left to the parser: %q", text)
		}
	}
}
