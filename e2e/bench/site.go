package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The two hosts requests are for. They are two because a host with a certificate redirects plain requests; the second is "localhost"
// because wrk takes the server name of its handshake from the URL.
const (
	plainHost  = "bench.example"
	secureHost = "localhost"
)

// Paths of the backends. Everything under goPrefix is served by this program, the rest by nginx.
const (
	smallPath   = "/"
	filePath    = "/file"
	goPrefix    = "/go/"
	uploadPath  = "/go/upload"
	echoPath    = "/go/echo"
	headersPath = "/go/headers"
)

// fileSize is the size of a download or upload.
const fileSize = 100 << 20

// site is what all proxies have in common: a folder, a certificate and the backends.
type site struct {
	Dir                string    // removed at the end
	Cert, Key, CertKey string    // PEM files; CertKey holds both, as haproxy wants it
	rsa                [3]string // the same three of the RSA certificate
	Small, Go          string    // addresses of the backends
	Hosts              int       // other hosts in Usher's table
	usher              string    // a ready binary; empty means to build one
	before             string    // another one; empty means that there is none
	proxyCPU           int
	backend            *child
	own                *goBackend
}

// openSite makes the folder and starts the backends. The caller closes it.
func openSite(ctx context.Context, opt options) (*site, error) {
	dir, err := os.MkdirTemp("", "usher-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's worker is another user
		return nil, err
	}
	s := &site{Dir: dir, Hosts: opt.hosts, usher: opt.usher, before: opt.before, proxyCPU: opt.proxyCPU}
	if err := s.open(ctx, opt.loadCPU); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *site) open(ctx context.Context, cpu int) (err error) {
	if err := s.writeCertificates(); err != nil {
		return err
	}
	if s.own, err = startGoBackend(); err != nil {
		return err
	}
	s.Go = s.own.addr
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	s.Small = loopback(ports[0])
	return s.startNginxBackend(ctx, cpu)
}

// startNginxBackend serves the small answer and the large file. The file is sparse: it costs no disk and is read from the page cache.
func (s *site) startNginxBackend(ctx context.Context, cpu int) error {
	dir := filepath.Join(s.Dir, "backend")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(fileSize), file.Close()); err != nil {
		return err
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := render("backend.conf", conf, map[string]string{"Dir": dir, "Listen": s.Small}); err != nil {
		return err
	}
	s.backend, err = startChild("backend", dir, cpu, command{args: []string{findBinary("nginx"), "-p", dir, "-c", conf, "-e", "stderr"}})
	if err != nil {
		return err
	}
	return s.backend.await(ctx, 10*time.Second, listening(s.Small))
}

func (s *site) close() {
	s.backend.stop()
	if s.own != nil {
		s.own.close()
	}
	_ = os.RemoveAll(s.Dir)
}

// withRSA is the site with its other certificate in the place of the usual one.
func (s *site) withRSA() *site {
	other := *s
	other.Cert, other.Key, other.CertKey = s.rsa[0], s.rsa[1], s.rsa[2]
	return &other
}

// writeCertificates makes the ECDSA P-256 certificate that every proxy presents, and the RSA one of some scenarios.
func (s *site) writeCertificates() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := s.writeCertificate(key); err != nil {
		return err
	}
	other := site{Dir: filepath.Join(s.Dir, "rsa")}
	if err := os.Mkdir(other.Dir, 0o755); err != nil {
		return err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := other.writeCertificate(rsaKey); err != nil {
		return err
	}
	s.rsa = [3]string{other.Cert, other.Key, other.CertKey}
	return nil
}

func (s *site) writeCertificate(key crypto.Signer) error {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: secureHost},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{secureHost},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	s.Cert, s.Key, s.CertKey = filepath.Join(s.Dir, "tls.crt"), filepath.Join(s.Dir, "tls.key"), filepath.Join(s.Dir, "tls.pem")
	return errors.Join(
		os.WriteFile(s.Cert, cert, 0o644),
		os.WriteFile(s.Key, private, 0o600),
		os.WriteFile(s.CertKey, append(cert, private...), 0o600),
	)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports to listen on, below the range the kernel gives to outgoing connections: a load's own connection must not take
// the port of a proxy that is about to start again.
func freePorts(n int) ([]int, error) {
	const low, high = 18000, 32000
	var ports []int
	start := low + int(time.Now().UnixNano()/1000)%(high-low)
	for i := 0; i < high-low && len(ports) < n; i++ {
		port := low + (start-low+i)%(high-low)
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("no %d free ports between %d and %d", n, low, high)
	}
	return ports, nil
}
