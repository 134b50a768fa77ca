package certs

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Encrypted Client Hello (RFC 9849) hides from the network which host a client asks for: it encrypts its ClientHello to a key that DNS
// tells it, and asks in the open for a public name only. Usher has the private keys in a Secret, as PEM (RFC 9934); resolve reads them.

// ECHKeys gives a new key for a public name: the PEM for the Secret, and the value of ech= in the HTTPS records of the hosts.
func ECHKeys(publicName string) (keys []byte, record string, err error) {
	if publicName == "" || len(publicName) > maxName {
		return nil, "", fmt.Errorf("public name %q: want a DNS name", publicName)
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	var id [1]byte
	_, _ = rand.Read(id[:]) // never fails
	list, err := echConfigs(id[0], private.PublicKey().Bytes(), publicName)
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, "", err
	}
	keys = slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: list}))
	return keys, base64.StdEncoding.EncodeToString(list), nil
}

// The numbers of RFC 9180 and RFC 9849.
const (
	echVersion     = 0xfe0d
	kemX25519      = 0x0020
	kdfSHA256      = 0x0001
	aeadAES128     = 0x0001
	aeadChaCha20   = 0x0003
	maxHiddenNames = 128 // names up to this length look alike
)

// echConfigs is an ECHConfigList with one ECHConfig (RFC 9849 section 4).
func echConfigs(id byte, public []byte, publicName string) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(echVersion)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(id)
			b.AddUint16(kemX25519)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(public) })
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, aead := range []uint16{aeadAES128, aeadChaCha20} {
					b.AddUint16(kdfSHA256)
					b.AddUint16(aead)
				}
			})
			b.AddUint8(maxHiddenNames)
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(publicName)) })
			b.AddUint16(0) // no extensions
		})
	})
	return b.Bytes()
}
