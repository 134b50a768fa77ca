package resolve_test

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/certs"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

func echKeys(t testing.TB, publicName string) []byte {
	t.Helper()
	keys, _, err := certs.ECHKeys(publicName)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// resolveECH gives the Table for a Secret with these entries; nil is no Secret.
func resolveECH(data map[string][]byte) *route.Table {
	name := object.Key{Namespace: "usher", Name: "ech"}
	s := &object.Snapshot{Secrets: map[object.Key]*corev1.Secret{}}
	if data != nil {
		s.Secrets[name] = &corev1.Secret{Data: data}
	}
	return resolve.New(resolve.Options{ECHSecret: name}).Resolve(s, now)
}

// block is one block of PEM out of several.
func block(t testing.TB, text []byte, kind string) []byte {
	t.Helper()
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == kind {
			return pem.EncodeToMemory(b)
		}
	}
	t.Fatalf("no %s", kind)
	return nil
}

// All keys are accepted, the first by name is told; a bad one is reported and left out.
func TestECHKeys(t *testing.T) {
	one, two := echKeys(t, "public.example.com"), echKeys(t, "public.example.com")
	table := resolveECH(map[string][]byte{"b.pem": one, "a.pem": two, "c.pem": []byte("hello")})
	if len(table.ECH) != 2 || !table.ECH[0].SendAsRetry || table.ECH[1].SendAsRetry {
		t.Errorf("%d keys", len(table.ECH))
	}
	want := `error bad-secret Secret usher/ech data["c.pem"]: the key of Encrypted Client Hello: want a PRIVATE KEY block with an X25519 key, and an ECHCONFIG block`
	if len(table.Diagnostics) != 1 || !strings.HasPrefix(table.Diagnostics[0].String(), want) {
		t.Errorf("got %v, want %s", table.Diagnostics, want)
	}
	private, config := block(t, one, "PRIVATE KEY"), block(t, one, "ECHCONFIG")
	raw, _ := pem.Decode(config)
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(raw.Bytes)
		b[at] = to
		return append(bytes.Clone(private), pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: b})...)
	}
	for want, text := range map[string][]byte{
		"want a PRIVATE KEY block":     config,
		"want an ECHCONFIG block":      private,
		"belongs to another key":       append(bytes.Clone(private), block(t, two, "ECHCONFIG")...),
		"has version 0xff0d":           changed(2, 0xff),
		"has KEM 0x1020":               changed(7, 0x10),
		"is not a list of one":         changed(1, 1),
		"does not exist or is empty":   nil,
		"asn1: structure error":        []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"the ECHCONFIG block is not a": append(bytes.Clone(private), "-----BEGIN ECHCONFIG-----\nAAAA\n-----END ECHCONFIG-----\n"...),
	} {
		data := map[string][]byte{"a.pem": text}
		if text == nil {
			data = nil
		}
		table := resolveECH(data)
		if len(table.ECH) != 0 || len(table.Diagnostics) != 1 || !strings.Contains(table.Diagnostics[0].Message, want) {
			t.Errorf("%d keys, diagnostics %v; want %q", len(table.ECH), table.Diagnostics, want)
		}
	}
}

// FuzzECHKeys: nothing that a Secret holds makes a key without a config and a private key that are whole.
func FuzzECHKeys(f *testing.F) {
	f.Add(echKeys(f, "public.example.com"))
	f.Add([]byte("-----BEGIN ECHCONFIG-----\nAAAA\n-----END ECHCONFIG-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table := resolveECH(map[string][]byte{"a.pem": text})
		if len(table.ECH)+len(table.Diagnostics) != 1 {
			t.Fatalf("%d keys, %d diagnostics", len(table.ECH), len(table.Diagnostics))
		}
		for _, key := range table.ECH {
			if size := len(key.Config); len(key.PrivateKey) != 32 || size < 50 || int(key.Config[2])<<8+int(key.Config[3])+4 != size {
				t.Fatalf("key of %d bytes, config %x", len(key.PrivateKey), key.Config)
			}
		}
	})
}
