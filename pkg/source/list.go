package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"

	kjson "sigs.k8s.io/json"
)

// slowly reads data in small parts, so that a file of megabytes is parsed without keeping a processor from others.
type slowly struct {
	data  *bytes.Reader
	yield func()
}

const partSize = 16 << 10

// Read implements io.Reader.
func (s slowly) Read(p []byte) (int, error) {
	s.yield()
	return s.data.Read(p[:min(len(p), partSize)])
}

func decoder(data []byte, yield func()) *json.Decoder {
	return json.NewDecoder(slowly{bytes.NewReader(data), yield})
}

// sumOf is the hash of a file.
func sumOf(data []byte, yield func()) (sum [sha256.Size]byte) {
	hash := sha256.New()
	_, _ = io.Copy(hash, slowly{bytes.NewReader(data), yield})
	return [sha256.Size]byte(hash.Sum(nil))
}

// readHead reads an object and keeps what it begins with, and its items if it is a List.
func readHead(from *json.Decoder) (head, error) {
	var h head
	members := map[string]json.RawMessage{}
	if begin, err := from.Token(); err != nil || begin != json.Delim('{') {
		return h, errors.Join(err, errors.New("want an object"))
	}
	for from.More() {
		name, err := from.Token()
		if err != nil {
			return h, err
		}
		if name == "items" {
			if h.Items, err = readItems(from); err != nil {
				return h, err
			}
			continue
		}
		var member json.RawMessage
		if err := from.Decode(&member); err != nil {
			return h, err
		}
		if name == "apiVersion" || name == "kind" || name == "metadata" {
			members[name.(string)] = member
		}
	}
	if _, err := from.Token(); err != nil {
		return h, err
	}
	small, err := json.Marshal(members)
	if err != nil {
		return h, err
	}
	return h, kjson.UnmarshalCaseSensitivePreserveInts(small, &h)
}

// readItems reads an array, or null.
func readItems(from *json.Decoder) ([]json.RawMessage, error) {
	begin, err := from.Token()
	if err != nil || begin == nil {
		return nil, err
	}
	if begin != json.Delim('[') {
		return nil, errors.New("items: want an array")
	}
	items := []json.RawMessage{}
	for from.More() {
		var item json.RawMessage
		if err := from.Decode(&item); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err = from.Token()
	return items, err
}
