package route

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Client is what matters of the one who asks for a certificate.
type Client struct {
	Hello *tls.ClientHelloInfo // nil stands for a client that supports everything
	Now   time.Time            // zero leaves periods of validity unjudged
}

// Choose picks the certificate that answers a handshake for a server name (lower case, no trailing dot), and reports whether it is one for
// this name rather than the default. It is nil when there is neither; package certs says in which order and why.
func (s *Certificates) Choose(name string, c Client) (chosen *Certificate, named bool) {
	if s == nil {
		return nil, false
	}
	if chosen = s.forName(name, c); chosen != nil {
		return chosen, true
	}
	return s.Default, false
}

// forName gives the wildcard a second chance when no certificate for exactly this name is fit.
func (s *Certificates) forName(name string, c Client) *Certificate {
	best, fit := c.best(s.Find(name))
	if best == nil || fit {
		return best
	}
	if other, fit := c.best(s.above(name)); fit {
		return other
	}
	return best
}

// best picks one of several certificates for the same name, or nil, and reports whether it is fit: valid today and verifiable by this client.
func (c *Client) best(candidates []*Certificate) (*Certificate, bool) {
	if len(candidates) == 1 { // the usual case; a client that does not support it has no better choice
		return candidates[0], c.valid(candidates[0])
	}
	var best *Certificate
	most := -1
	for _, candidate := range candidates {
		if rank := c.rank(candidate); rank > most {
			best, most = candidate, rank
		}
	}
	return best, most >= fitRank
}

const fitRank = 4 + 2

// rank orders certificates: supported, then valid, then ECDSA.
func (c *Client) rank(candidate *Certificate) int {
	rank := 0
	if c.Hello == nil || c.Hello.SupportsCertificate(candidate.TLS) == nil {
		rank += 4
	}
	if c.valid(candidate) {
		rank += 2
	}
	if leaf := candidate.TLS.Leaf; leaf != nil && leaf.PublicKeyAlgorithm == x509.ECDSA {
		rank++
	}
	return rank
}

func (c *Client) valid(candidate *Certificate) bool {
	return c.Now.IsZero() || !c.Now.Before(candidate.NotFrom) && !c.Now.After(candidate.Until)
}
