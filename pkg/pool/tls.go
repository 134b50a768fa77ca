package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
)

// TLS says how TLS is spoken to an endpoint. The zero value is ingress-nginx's default: no name is sent, nothing is verified and nothing
// is shown. It is part of the Key, so connections made under one are never used under another.
type TLS struct {
	ServerName string // sent as SNI; empty sends none

	Roots *x509.CertPool // verify the endpoint's certificate; nil does not
	Name  string         // that it must have then
	Depth int            // how many CAs may stand between it and one of Roots

	Certificate *tls.Certificate // shown to the endpoint if it asks; may be nil

	Min, Max uint16 // versions; 0 is TLS 1.2, and the newest
	Suites   string // of Suites; empty is Go's choice
}

// Suites puts the numbers of cipher suites into a TLS, which has to be comparable.
func Suites(numbers []uint16) string {
	var out []byte
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint16(out, n)
	}
	return string(out)
}

// String tells keys apart but for the address.
func (k Key) String() string {
	if k.TLS == (TLS{}) {
		return k.Protocol.String()
	}
	return fmt.Sprintf("%s %+v", k.Protocol, k.TLS)
}

var (
	errUntrusted = errors.New("the endpoint's certificate does not pass")
	errHandshake = errors.New("TLS handshake")
)

// handshakeError is one that Cause is found by, and that leaves the words to the error within.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error        { return e.error }
func (e handshakeError) Is(target error) bool { return target == errHandshake }
func (e handshakeError) Error() string {
	return "TLS handshake: " + strings.TrimPrefix(e.error.Error(), "tls: ")
}

// isAlert reports whether an error is one that the other side of TLS sent.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// clientTLS is the configuration for an endpoint; its sessions are kept with it, and resumed.
func clientTLS(k Key) *tls.Config {
	config := &tls.Config{
		InsecureSkipVerify: true, // of the name that is sent; verify verifies the one that is wanted
		ServerName:         k.TLS.ServerName,
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		NextProtos:         []string{"http/1.1"},
		MinVersion:         tls.VersionTLS12,
		MaxVersion:         k.TLS.Max,
	}
	if k.TLS.Min != 0 {
		config.MinVersion = k.TLS.Min
	}
	for suites := []byte(k.TLS.Suites); len(suites) >= 2; suites = suites[2:] {
		config.CipherSuites = append(config.CipherSuites, binary.BigEndian.Uint16(suites))
	}
	if k.Protocol == H2 {
		config.NextProtos = []string{"h2"}
	}
	if k.TLS.Roots != nil {
		config.VerifyConnection = k.TLS.verify
	}
	if shown := k.TLS.Certificate; shown != nil {
		// As nginx does, whatever CAs the endpoint names.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
	}
	return config
}

// shake makes the handshake on a new connection.
func shake(ctx context.Context, socket net.Conn, config *tls.Config) (net.Conn, error) {
	conn := tls.Client(socket, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, handshakeError{err}
	}
	if wanted := config.NextProtos[0]; wanted == "h2" && conn.ConnectionState().NegotiatedProtocol != wanted {
		return nil, handshakeError{errors.New("the endpoint does not offer HTTP/2")}
	}
	return conn, nil
}

// verify judges the endpoint's certificate, also that of a session which is resumed. Once the chain is good and short enough, the name
// must be one of the certificate's.
func (t TLS) verify(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: t.Roots, Intermediates: intermediates})
	if err != nil {
		return untrusted(err)
	}
	shortest := len(chains[0])
	for _, chain := range chains {
		shortest = min(shortest, len(chain))
	}
	if shortest-2 > t.Depth {
		return untrusted(fmt.Errorf("%d intermediate CAs stand behind it, and proxy-ssl-verify-depth is %d", shortest-2, t.Depth))
	}
	if err := verifyName(leaf, t.Name); err != nil {
		return untrusted(err)
	}
	return nil
}

func untrusted(err error) error {
	return fmt.Errorf("%w: %s", errUntrusted, strings.TrimPrefix(err.Error(), "x509: "))
}

// verifyName looks for the name among the alternative ones; as in OpenSSL, a certificate without any goes by its common name.
func verifyName(leaf *x509.Certificate, name string) error {
	err := leaf.VerifyHostname(name)
	none := len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 && len(leaf.EmailAddresses) == 0 && len(leaf.URIs) == 0
	if err != nil && none && leaf.Subject.CommonName != "" && strings.EqualFold(leaf.Subject.CommonName, name) {
		return nil
	}
	return err
}
