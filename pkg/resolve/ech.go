package resolve

import (
	"bytes"
	"crypto/ecdh"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// The keys of Encrypted Client Hello come from the Secret that --ech-secret names. Each entry is PEM: a PRIVATE KEY and the ECHCONFIG
// that belongs to it (RFC 9934), as `usher ech` writes them. All entries are accepted; clients with an outdated key are told the first
// by name, so a rotation adds an entry that sorts first and later removes the others.
//
// A key that crypto/tls would stumble over must not come through: browsers send the extension to everybody, and it would end all of
// their handshakes.

// resolveECH brings Table.ECH up to date.
func (r *Resolver) resolveECH(changed *changes) {
	key := r.options.ECHSecret
	if key == (object.Key{}) || !changed.all && !changed.secrets[key] {
		return
	}
	var found []route.Diagnostic
	r.ech, found = readECH(key, r.work.snapshot.Secrets[key])
	if why := r.work.snapshot.Unread[object.Change{Kind: object.Secret, Key: key}]; why != "" {
		found[0].Message = fmt.Sprintf("Secret %s, the keys of Encrypted Client Hello, %s", key, why)
	}
	r.problems.replace(r.echDiagnostics, found)
	r.echDiagnostics = found
}

func readECH(key object.Key, secret *corev1.Secret) (keys []tls.EncryptedClientHelloKey, found []route.Diagnostic) {
	d := route.Diagnostic{Severity: route.Error, Reason: policy.BadSecret, Origin: policy.Origin{Object: secretRef(key), Field: "data"},
		Effect: "clients ask for hosts in the open where they have no other key"}
	if secret == nil || len(secret.Data) == 0 {
		d.Reason, d.Message = policy.NoSecret, fmt.Sprintf("Secret %s, the keys of Encrypted Client Hello, does not exist or is empty", key)
		return nil, []route.Diagnostic{d}
	}
	for _, name := range sortedKeys(secret.Data) {
		read, err := readECHKey(secret.Data[name])
		if err != nil {
			d.Origin.Field, d.Message = fmt.Sprintf("data[%q]", name), fmt.Sprintf("the key of Encrypted Client Hello: %v", err)
			found = append(found, d)
			continue
		}
		read.SendAsRetry = len(keys) == 0
		keys = append(keys, read)
	}
	return keys, found
}

func readECHKey(text []byte) (key tls.EncryptedClientHelloKey, err error) {
	var private *ecdh.PrivateKey
	var list []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return key, err
			}
			private, _ = parsed.(*ecdh.PrivateKey)
		case "ECHCONFIG":
			list = block.Bytes
		}
	}
	switch {
	case private == nil || private.Curve() != ecdh.X25519():
		return key, errors.New("want a PRIVATE KEY block with an X25519 key, and an ECHCONFIG block")
	case list == nil:
		return key, errors.New("want an ECHCONFIG block beside the PRIVATE KEY block")
	}
	config, public, err := readECHConfig(list)
	if err != nil {
		return key, err
	}
	if !bytes.Equal(public, private.PublicKey().Bytes()) {
		return key, errors.New("the ECHCONFIG block belongs to another key than the PRIVATE KEY block")
	}
	return tls.EncryptedClientHelloKey{Config: config, PrivateKey: private.Bytes()}, nil
}

const (
	echVersion = 0xfe0d
	kemX25519  = 0x0020
)

// readECHConfig takes the one ECHConfig out of an ECHConfigList (RFC 9849 section 4), and its public key.
func readECHConfig(list []byte) (config, public []byte, err error) {
	malformed := errors.New("the ECHCONFIG block is not a list of one ECHConfig")
	in := cryptobyte.String(list)
	var all, contents, key, suites, name, extensions cryptobyte.String
	var version, kem uint16
	var id, longest uint8
	if !in.ReadUint16LengthPrefixed(&all) || !in.Empty() {
		return nil, nil, malformed
	}
	config = slices.Clone(all)
	if !all.ReadUint16(&version) || !all.ReadUint16LengthPrefixed(&contents) || !all.Empty() {
		return nil, nil, malformed
	}
	if version != echVersion {
		return nil, nil, fmt.Errorf("the ECHConfig has version %#x; want %#x", version, echVersion)
	}
	if !contents.ReadUint8(&id) || !contents.ReadUint16(&kem) || !contents.ReadUint16LengthPrefixed(&key) ||
		!contents.ReadUint16LengthPrefixed(&suites) || len(suites) == 0 || len(suites)%4 != 0 || !contents.ReadUint8(&longest) ||
		!contents.ReadUint8LengthPrefixed(&name) || len(name) == 0 || !contents.ReadUint16LengthPrefixed(&extensions) || !contents.Empty() {
		return nil, nil, malformed
	}
	if kem != kemX25519 {
		return nil, nil, fmt.Errorf("the ECHConfig has KEM %#x; want X25519 (%#x)", kem, kemX25519)
	}
	if len(extensions) > 0 {
		return nil, nil, errors.New("the ECHConfig has extensions; want none")
	}
	return config, key, nil
}
