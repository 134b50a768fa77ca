package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	kjson "sigs.k8s.io/json"
)

// FuzzJSON holds the fast reading of JSON to what encoding/json says of the same text.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"apiVersion":"v1","kind":"List","items":[{"a":1},[],null,"x"]}`, " [1, -0.5e+3 ,\t\"a\\\"\\u00e9\\n\" , true,false,null]\r\n", `{} {"a":{}}[]`, `{}]`, `{}12 13"x"1.5`, "{\n}\n{\n}",
		`{"k\u0069nd":"A","kind":"B","metadata":{"n\u0061me":"x","namespace":"n"},"metadata":{"generateName":"g"}}`, `{"items":[1],"items":null}`, `{"items":null,"items":[]}`,
		`{"items":{}}`, `{"metadata":1}`, `{"metadata":null,"apiVersion":1}`, "{\"a\":\"\xff\x00\"}", `{"a":01}`, `[1.]`, `[1e]`, `[-]`, `["\x"]`, `["\u12g4"]`, `{"a"}`, `{"a":}`, `[1,]`, `{,}`, `[`, `"`, `tru`, `"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(sameJSON)
}

// TestNesting is no seed: what is made of inputs so large leaves no time for others.
func TestNesting(t *testing.T) {
	for _, depth := range []int{maxNesting, maxNesting + 1} {
		sameJSON(t, []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
	}
}

// sameJSON compares with the readers of the libraries.
func sameJSON(t *testing.T, data []byte) {
	fast := compact(data)
	if json.Valid(data) != (fast != nil) {
		t.Fatalf("valid %t, not so by compact", fast == nil)
	}
	if got, want := fmt.Sprintf("%+v", split(jsonDocuments("x", data))), fmt.Sprintf("%+v", split(slowDocuments(data))); got != want {
		t.Errorf("documents %s, want %s", got, want)
	}
	if fast == nil {
		return
	}
	var slow bytes.Buffer
	if err := json.Compact(&slow, data); err != nil || !bytes.Equal(slow.Bytes(), fast) {
		t.Errorf("compact %q, want %q: %v", fast, slow.Bytes(), err)
	}
	var want head
	wantErr := kjson.UnmarshalCaseSensitivePreserveInts(fast, &want)
	got, err := readHead(fast)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("head %+v, %v; want %+v, %v", got, err, want, wantErr)
	}
}

// split is where documents begin, and what they say.
func split(docs []*document) (all []string) {
	for _, d := range docs {
		all = append(all, fmt.Sprintf("%d %q", d.line, d.text))
	}
	return all
}

// slowDocuments is jsonDocuments by the standard library.
func slowDocuments(data []byte) (docs []*document) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	for decoder.More() {
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil
		}
		start := int(decoder.InputOffset()) - len(value)
		docs = append(docs, &document{line: 1 + bytes.Count(data[:start], []byte("\n")), text: value})
	}
	return docs
}
