package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/usher-ingress/usher/pkg/route"
)

// Client certificates are asked for in the handshake and judged when a request comes (proxy/clientcert.go), by the routes of the host
// that it is for: one without a certificate, or with one that does not pass, is then answered in HTTP, as by nginx. TLS itself only sees
// to it that the client has the key of what it shows.
//
// A session that is resumed has the certificate it was made with, and that is judged again. It is resumed only if there was one and the
// same CAs count as then: a client that had no certificate, or another one, gets to show what it has now.

// askClients makes a configuration ask for a certificate.
func (s *Selector) askClients(config *tls.Config, asks *route.CertificateRequest) {
	config.ClientAuth, config.ClientCAs = tls.RequestClientCert, asks.CAs
	config.VerifyPeerCertificate = boundedChain
	mark := []byte("usher-clients:" + asks.ID)
	config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if len(state.PeerCertificates) > 0 {
			session.Extra = append(session.Extra, mark)
		}
		return s.wrapSession(state, session)
	}
	config.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
		session, err := s.unwrapSession(ticket, state)
		if err != nil || session == nil || !marked(session, mark) {
			return nil, err
		}
		return session, nil
	}
}

// mostChain is how many bytes of certificates a client may show. Real ones have a few thousand; what is shown stays in memory as long as
// the connection does.
const mostChain = 32 << 10

// boundedChain refuses what no client needs. Whether a certificate is trusted is not looked at here.
func boundedChain(chain [][]byte, _ [][]*x509.Certificate) error {
	size := 0
	for _, c := range chain {
		size += len(c)
	}
	if size > mostChain {
		return fmt.Errorf("the client's certificates have %d bytes; want at most %d", size, mostChain)
	}
	return nil
}
