package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"time"

	"github.com/caddyserver/certmagic"
)

// InternalCA is, among the CAs of an Issuer, one of Usher's own.
const InternalCA = "internal"

// internalCA gives certificates without asking anybody, for development: only who imports its root trusts them. The root is made once
// and shared by the replicas like everything in the storage, with its key.
type internalCA struct{ storage certmagic.Storage }

var _ certmagic.Issuer = internalCA{}

const (
	internalRoot     = "internal/root.pem" // certificate and key
	internalLock     = "issue_internal"
	internalRootLife = 10 * 365 * 24 * time.Hour
	internalLife     = 7 * 24 * time.Hour
)

// IssuerKey is the folder of its certificates in the storage.
func (internalCA) IssuerKey() string { return InternalCA }

// Issue signs what is asked for; that the name is in the Table was seen to before.
func (c internalCA) Issue(ctx context.Context, request *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := request.CheckSignature(); err != nil {
		return nil, err
	}
	root, key, err := c.root(ctx)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	template := newTemplate(time.Now(), internalLife)
	template.DNSNames = request.DNSNames
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, root, request.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	return &certmagic.IssuedCertificate{Certificate: toPEM("CERTIFICATE", der)}, nil
}

// Root is the certificate that clients are to trust, as PEM. It makes it if it is not there.
func (c internalCA) Root(ctx context.Context) ([]byte, error) {
	root, _, err := c.root(ctx)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	return toPEM("CERTIFICATE", root.Raw), nil
}

func (c internalCA) root(ctx context.Context) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	stored, err := c.storage.Load(ctx, internalRoot)
	if errors.Is(err, fs.ErrNotExist) {
		stored, err = c.create(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	return parseRoot(stored)
}

// create makes the root, unless another replica was faster.
func (c internalCA) create(ctx context.Context) ([]byte, error) {
	if err := c.storage.Lock(ctx, internalLock); err != nil {
		return nil, err
	}
	defer func() { _ = c.storage.Unlock(context.WithoutCancel(ctx), internalLock) }() // it expires
	stored, err := c.storage.Load(ctx, internalRoot)
	if !errors.Is(err, fs.ErrNotExist) {
		return stored, err
	}
	if stored, err = newRoot(time.Now()); err != nil {
		return nil, err
	}
	return stored, c.storage.Store(ctx, internalRoot, stored)
}

func newRoot(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := newTemplate(now, internalRootLife)
	template.Subject = pkix.Name{CommonName: "Usher's internal CA", SerialNumber: template.SerialNumber.Text(36)[:8]}
	template.KeyUsage, template.IsCA, template.MaxPathLenZero = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(toPEM("CERTIFICATE", der), toPEM("PRIVATE KEY", private)...), nil
}

// newTemplate is backdated a little, for clients whose clocks are slow.
func newTemplate(now time.Time, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	return &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(life), BasicConstraintsValid: true}
}

func parseRoot(stored []byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	first, rest := pem.Decode(stored)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil {
		return nil, nil, fmt.Errorf("%s does not hold a certificate and a key", internalRoot)
	}
	root, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", internalRoot, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(second.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", internalRoot, err)
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s holds a key of type %T, want an ECDSA key", internalRoot, private)
	}
	return root, key, nil
}

func toPEM(kind string, blocks ...[]byte) []byte {
	var b bytes.Buffer
	for _, der := range blocks {
		_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // a buffer takes all
	}
	return b.Bytes()
}
