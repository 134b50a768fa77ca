package certs

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

// client is what matters of the one who asks. A nil hello stands for a client that supports everything.
type client struct {
	hello *tls.ClientHelloInfo
	now   time.Time
}

// best picks one certificate of a step, or nil, and tells whether it is fit: valid today and verifiable by this client.
func (c client) best(candidates []*route.Certificate) (*route.Certificate, bool) {
	if len(candidates) == 1 { // the usual case; a client that does not support it has no better choice
		return candidates[0], c.valid(candidates[0])
	}
	var best *route.Certificate
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
func (c client) rank(candidate *route.Certificate) int {
	rank := 0
	if c.hello == nil || c.hello.SupportsCertificate(candidate.TLS) == nil {
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

func (c client) valid(candidate *route.Certificate) bool {
	return !c.now.Before(candidate.NotFrom) && !c.now.After(candidate.Until)
}
