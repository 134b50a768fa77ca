package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A client that has the key hides the host it asks for; one with an old key is told the new one under the public name's certificate.
func TestServeECH(t *testing.T) {
	code, keys, hint := usher("ech", "public.test")
	_, oldKeys, oldHint := usher("ech", "public.test")
	if code != exitOK || !strings.Contains(keys, "BEGIN ECHCONFIG") || oldKeys == keys {
		t.Fatalf("usher ech: %d %s %s", code, keys, hint)
	}
	listOf := func(hint string) []byte {
		_, record, _ := strings.Cut(strings.TrimSpace(hint), "ech=")
		list, err := base64.StdEncoding.DecodeString(record)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	folder := t.TempDir()
	write(t, folder, "site.yaml", strings.Replace(site("web", backend(t, says("one"))), "annotations: {}", "annotations: {usher.dev/ssl-ecdh-curve: prime256v1}", 1))
	write(t, folder, "ech.yaml", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: ech, namespace: usher}\ndata: {current.pem: %s}\n", base64.StdEncoding.EncodeToString([]byte(keys))))
	p := serve(t, "--manifests", folder, "--ech-secret=usher/ech")

	shake := func(list []byte) (tls.ConnectionState, error) {
		conn, err := tls.Dial("tcp", p.https, &tls.Config{ServerName: "site.test", EncryptedClientHelloConfigList: list, InsecureSkipVerify: true, //nolint:gosec // self-signed
			EncryptedClientHelloRejectionVerify: func(tls.ConnectionState) error { return nil }})
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	state, err := shake(listOf(hint))
	if err != nil || !state.ECHAccepted || state.CurveID != tls.CurveP256 { // the settings are those of the hidden host
		t.Errorf("accepted %v, curve %v, %v", state.ECHAccepted, state.CurveID, err)
	}
	_, err = shake(listOf(oldHint))
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) {
		t.Fatalf("an old key: %v", err)
	}
	if state, err := shake(rejected.RetryConfigList); err != nil || !state.ECHAccepted {
		t.Errorf("with the key it was told: accepted %v, %v", state.ECHAccepted, err)
	}
	if state, err := shake(nil); err != nil || state.ECHAccepted {
		t.Errorf("without a key: accepted %v, %v", state.ECHAccepted, err)
	}
}
