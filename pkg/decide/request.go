package decide

import (
	"net/netip"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Request is a request as it came, before anybody is believed.
type Request struct {
	Method     string
	Proto      int                 // the major version of HTTP
	Host       string              // as sent; empty for HTTP/1.0 clients that sent none
	Target     string              // as sent
	Header     map[string][]string // by canonical names, without Host. The map is never written here.
	Peer       string              // the address that the connection comes from, without port
	TLS        bool                // of the connection itself
	ServerName string              // of its handshake
	Length     int64               // of the body; -1 is unknown
	Parsed     bool                // a server has read it, and refused what is no request (field.Check)
}

// Env is what a decision may ask of the world.
type Env interface {
	// NewID makes an id for a request that came without one.
	NewID() string
	// LocalPort is the port that the client connected to, by the PROXY protocol's word; 0 is unknown.
	LocalPort() int
	// Judge says what the certificate that the client showed comes to; nil is that it showed none.
	Judge(auth *route.ClientAuth) *Certificate
	// Holds reports whether a session cookie is one of these endpoints', by the keys and settings of d.
	Holds(d *Decision, to Upstream, token string) bool
	// Chance is uniform in [0, 1).
	Chance() float64
	// Count counts a request of the client against the limits of an Ingress.
	Count(limit *policy.Limit, ingress policy.Ref, client netip.Addr) Count
	// Mark is what requests to these endpoints carry in CDN-Loop: the name of this process, and that of the backend.
	Mark(to Upstream) string
}

// Count is what became of counting a request. Its zero value is a refusal.
type Count uint8

// The outcomes.
const (
	OverRate        Count = iota // limit-rps or limit-rpm
	OverConnections              // limit-connections
	Within
)

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
