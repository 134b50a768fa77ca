//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

//go:embed nginx.conf
var nginxConf string

// startNginx serves the same site as Usher, at the same address, on the last core. It returns when it answers.
func startNginx(ctx context.Context, b *bench) (*cluster.Process, error) {
	dir, err := os.MkdirTemp(b.dir, "nginx-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := errors.Join(writeNginxConf(dir, file), writeCertificate(filepath.Join(dir, "nginx.crt"), filepath.Join(dir, "nginx.key"))); err != nil {
		return nil, err
	}
	p, err := cluster.StartProcess(dir, "nginx", exec.Command("taskset", "-c", lastCore(), "nginx", "-p", dir, "-c", file, "-e", "stderr")) //nolint:gosec // a folder of ours
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := p.Await(ctx, func(ctx context.Context) error {
		c := &asker{host: othersHost}
		defer c.close()
		_, err := c.ask(ctx, "/")
		return err
	}); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// stopNginx lets the master end its worker.
func stopNginx(ctx context.Context, p *cluster.Process) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if p.Stop(ctx) != nil {
		p.Kill()
	}
}

func writeNginxConf(dir, file string) error {
	conf, err := template.New("nginx.conf").Option("missingkey=error").Parse(nginxConf)
	if err != nil {
		return err
	}
	out, err := os.Create(file) //nolint:gosec // a folder of ours
	if err != nil {
		return err
	}
	return errors.Join(conf.Execute(out, map[string]any{
		"Dir": dir, "Files": openFiles(), "Limit": limitFlag, "Address": usherAddress, "Others": othersAddresses(), "Attacked": attackedAddresses(),
	}), out.Close())
}

// writeCertificate makes a self-signed one for the others' host, as Usher makes its own.
func writeCertificate(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{othersHost}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, private.Public(), private)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

// nginxVersion is nil without an nginx; the table then says so.
func nginxVersion(ctx context.Context) error {
	if err := exec.CommandContext(ctx, "nginx", "-v").Run(); err != nil {
		return fmt.Errorf("nginx: %w", err)
	}
	return nil
}
