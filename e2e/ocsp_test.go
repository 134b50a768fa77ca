//go:build e2e

package e2e

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// responder answers OCSP requests (RFC 6960) for the certificates of a CA, with
// one status for all.
type responder struct {
	url    string
	ca     atomic.Pointer[pebble]
	status atomic.Int64
	asked  atomic.Int64
	last   atomic.Int64 // when, in Unix nanoseconds
}

// freshFor is how long certmagic holds an answer for new: half of its life.
const freshFor = 5 * time.Second

// fresh is until when the last answer counts as new.
func (r *responder) fresh() time.Time { return time.Unix(0, r.last.Load()).Add(freshFor + time.Second) }

func newResponder(t *testing.T) *responder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &responder{url: "http://" + l.Addr().String()}
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// ServeHTTP answers a request that was posted.
func (r *responder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked, err := ocsp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	issuer, key, err := r.ca.Load().intermediate()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	now := time.Now()
	template := ocsp.Response{Status: int(r.status.Load()), SerialNumber: asked.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Minute + 2*freshFor)}
	r.asked.Add(1)
	r.last.Store(now.UnixNano())
	if template.Status == ocsp.Revoked {
		template.RevokedAt, template.RevocationReason = now, ocsp.Superseded
	}
	answer, err := ocsp.CreateResponse(issuer, issuer, template, key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(answer)
}

// intermediate is what signs the CA's certificates, with its key.
func (p *pebble) intermediate() (*x509.Certificate, crypto.Signer, error) {
	certificate, err := p.managed("/intermediates/0")
	if err != nil {
		return nil, nil, err
	}
	private, err := p.managed("/intermediate-keys/0")
	if err != nil {
		return nil, nil, err
	}
	issuer, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS1PrivateKey(private)
	return issuer, key, err
}

// managed reads a PEM block of the CA's management.
func (p *pebble) managed(path string) ([]byte, error) {
	answer, err := p.client.Get(fmt.Sprintf("https://127.0.0.1:%d%s", p.port+1, path))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM in %q", path, body)
	}
	return block.Bytes, nil
}
