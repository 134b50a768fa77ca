//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// pebbleVariable names the folder of Pebble's programs: the ACME CA of the
// tests and its DNS server.
const pebbleVariable = "USHER_E2E_PEBBLE"

// buildPebble builds them, from the module pebble beside this package, and
// leaves their folder in the environment.
func buildPebble() error {
	if os.Getenv(pebbleVariable) != "" {
		return nil
	}
	folder, err := filepath.Abs("../bin/pebble")
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-C", "pebble", "-o", folder+"/",
		"github.com/letsencrypt/pebble/v2/cmd/pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building pebble: %w", err)
	}
	return os.Setenv(pebbleVariable, folder)
}

// pebble is a running CA with the DNS that it asks.
type pebble struct {
	t       *testing.T
	folder  string // of the programs
	config  string
	dns     string // address
	control string // URL of the DNS server's management
	port    int64
	process *cluster.Process
	roots   string // file with the root of the CA's own server
	client  *http.Client
}

var pebbles atomic.Int64

// pebbleOptions are what a test wants of its CA.
type pebbleOptions struct {
	httpPort, tlsPort int               // where challenges are looked for
	refused           []string          // names that it never gives a certificate for
	lifetime          int               // of certificates, in seconds
	dns               string            // address of the DNS server to ask; its own if empty
	ocsp              string            // URL of the responder that certificates name
	accounts          map[string]string // keys of external accounts by their names; with any an account needs one
	environment       []string
}

// newPebble starts a CA.
func newPebble(t *testing.T, o pebbleOptions) *pebble {
	t.Helper()
	n := pebbles.Add(1)
	p := &pebble{t: t, folder: os.Getenv(pebbleVariable), port: 24000 + 10*n, dns: fmt.Sprintf("127.0.0.1:%d", 24002+10*n), control: fmt.Sprintf("127.0.0.1:%d", 24003+10*n)}
	p.write(o)
	if o.dns != "" {
		p.dns = o.dns
	} else {
		p.startDNS()
	}
	p.start(o.environment...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.process.Tail(30))
		}
		p.process.Kill()
	})
	return p
}

// startDNS starts Pebble's DNS server, which is told names by resolve.
func (p *pebble) startDNS() {
	p.t.Helper()
	dns := exec.Command(filepath.Join(p.folder, "pebble-challtestsrv"), "-dnsserver", p.dns, "-management", p.control,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", "", "-defaultIPv4", "")
	process, err := cluster.StartProcess(p.t.TempDir(), "challtestsrv", dns)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(process.Kill)
}

// write writes the CA's configuration and the certificate of its own server.
func (p *pebble) write(o pebbleOptions) {
	p.t.Helper()
	authority, err := cluster.NewAuthority("pebble's own server")
	if err != nil {
		p.t.Fatal(err)
	}
	pair := newPair(p.t, authority, "127.0.0.1", "localhost")
	folder := p.t.TempDir()
	p.roots, p.config = filepath.Join(folder, "roots.pem"), filepath.Join(folder, "pebble.json")
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}}}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", p.port), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", p.port+1),
		"certificate": folder + "/cert.pem", "privateKey": folder + "/key.pem",
		"httpPort": orPort(o.httpPort, 80), "tlsPort": orPort(o.tlsPort, 443), "domainBlocklist": o.refused,
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": o.keys(), "ocspResponderURL": o.ocsp,
		"externalAccountBindingRequired": len(o.accounts) > 0, "externalAccountMACKeys": o.accounts,
		"profiles": map[string]any{"default": map[string]any{"description": "the tests'", "validityPeriod": orPort(o.lifetime, 86400)}},
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	for name, content := range map[string][]byte{"roots.pem": authority.PEM(), "cert.pem": pair.Cert, "key.pem": pair.Key, "pebble.json": config} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// keys are RSA for a CA whose responder needs its key: Pebble gives no other.
func (o *pebbleOptions) keys() string {
	if o.ocsp != "" {
		return "rsa"
	}
	return "ecdsa"
}

func orPort(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

// start starts the CA, with a new root and no accounts, and waits for it.
func (p *pebble) start(environment ...string) {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(p.folder, "pebble"), "-config", p.config, "-dnsserver", p.dns)
	cmd.Env = append(append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"), environment...)
	var err error
	if p.process, err = cluster.StartProcess(filepath.Dir(p.config), "pebble", cmd); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.process.Await(ctx, func(context.Context) error {
		answer, err := p.client.Get(p.directory())
		if err == nil {
			answer.Body.Close()
		}
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pebble) directory() string { return fmt.Sprintf("https://127.0.0.1:%d/dir", p.port) }

// flags are usher's for this CA.
func (p *pebble) flags() []string {
	return []string{"--acme-email", "admin@example.com", "--acme-ca", p.directory(), "--acme-ca-roots", p.roots}
}

// resolve makes a name have the addresses of the replicas that are started
// next, so that no order is made in vain.
func (p *pebble) resolve(host string, replicas int) {
	p.t.Helper()
	var addresses []string
	for n := range replicas {
		addresses = append(addresses, replicaAddress(nextReplica()+int64(n)))
	}
	p.resolveTo(host, addresses...)
}

// resolveTo makes a name have these addresses, and no others.
func (p *pebble) resolveTo(host string, addresses ...string) {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"host": host + ".", "addresses": addresses})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, path := range []string{"/clear-a", "/add-a"} {
		await(p.t, func() error {
			answer, err := http.Post("http://"+p.control+path, "application/json", bytes.NewReader(body))
			if err == nil {
				answer.Body.Close()
			}
			return err
		})
	}
}

// trusted is the root of what the CA issues.
func (p *pebble) trusted() *x509.CertPool {
	p.t.Helper()
	answer, err := p.client.Get(fmt.Sprintf("https://127.0.0.1:%d/roots/0", p.port+1))
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	pem, err := io.ReadAll(answer.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		p.t.Fatalf("the CA's root: %v, %s", err, pem)
	}
	return pool
}

// renewNow has the CA say that a certificate is to be renewed (RFC 9773).
func (p *pebble) renewNow(state *tls.ConnectionState) {
	p.t.Helper()
	window := map[string]time.Time{"start": time.Now().Add(-2 * time.Hour), "end": time.Now().Add(-time.Hour)}
	information, err := json.Marshal(map[string]any{"suggestedWindow": window})
	if err != nil {
		p.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: state.PeerCertificates[0].Raw})
	body, err := json.Marshal(map[string]string{"certificate": string(certificate), "ariResponse": string(information)})
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.client.Post(fmt.Sprintf("https://127.0.0.1:%d/set-renewal-info/", p.port+1), "application/json", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		p.t.Fatalf("setting renewal information: %s", answer.Status)
	}
}

// issued counts the certificates that the CA has given.
func (p *pebble) issued() int { return strings.Count(p.process.Log(), "Issued certificate serial") }
