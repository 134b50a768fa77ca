package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/usher-ingress/usher/examples/quickstart"
)

// demoFolder is a copy of examples/quickstart that fits the ports its backends have, with a certificate of its own.
type demoFolder struct{ path string }

// authority is the file of the certificate that signed itself, for curl --cacert.
func (d demoFolder) authority() string { return filepath.Join(d.path, "certificate.pem") }

// cookies is where curl keeps the cookie of the session.
func (d demoFolder) cookies() string { return filepath.Join(d.path, "cookies.txt") }

func (d demoFolder) remove() { _ = os.RemoveAll(d.path) }

// newDemoFolder writes the copy; ports maps those of the manifests to those in use.
func newDemoFolder(ports map[int]int, now time.Time) (demoFolder, error) {
	path, err := os.MkdirTemp("", "usher-demo-")
	if err != nil {
		return demoFolder{}, err
	}
	d := demoFolder{path}
	if err := d.fill(ports, now); err != nil {
		d.remove()
		return demoFolder{}, fmt.Errorf("demo folder: %w", err)
	}
	return d, nil
}

func (d demoFolder) fill(ports map[int]int, now time.Time) error {
	names, err := fs.Glob(quickstart.Manifests, "*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := quickstart.Manifests.ReadFile(name)
		if err != nil {
			return err
		}
		text = regexp.MustCompile(`port: (\d+)}`).ReplaceAllFunc(text, func(field []byte) []byte {
			from, _ := strconv.Atoi(string(field[len("port: ") : len(field)-1]))
			if to, ok := ports[from]; ok {
				return fmt.Appendf(nil, "port: %d}", to)
			}
			return field
		})
		if err := os.WriteFile(filepath.Join(d.path, name), text, 0o600); err != nil {
			return err
		}
	}
	return d.writeCertificate("shop.localhost", now)
}

// writeCertificate makes a self-signed certificate for host, as the Secret demo/shop-tls and as a file of its own.
func (d demoFolder) writeCertificate(host string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "usher demo, thrown away at the end"}, DNSNames: []string{host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(d.authority(), certificate, 0o600); err != nil {
		return err
	}
	secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: demo}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: %s\n  tls.key: %s\n",
		base64.StdEncoding.EncodeToString(certificate),
		base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return os.WriteFile(filepath.Join(d.path, "secret.yaml"), []byte(secret), 0o600)
}
