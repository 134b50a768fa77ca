package route

import (
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
)

// Stream is where connections go whose bytes are passed on as they are.
type Stream struct {
	Backend int // index into Table.Backends; -1 when Broken says why there is none
	Broken  policy.Reason
	Policy  *policy.Set
	Origin  policy.Origin // who asks for it
	// ProxyProtocol is the version of the PROXY protocol header by which the endpoint is told the client's address; 0 is none.
	ProxyProtocol byte
}

// To is the backend of s, or nil.
func (t *Table) To(s *Stream) *Backend {
	if s == nil || s.Backend < 0 || s.Backend >= len(t.Backends) {
		return nil
	}
	return t.Backends[s.Backend]
}

// PassedThrough is where a TLS connection goes that asks for a server name (lower case), or nil when TLS is ended here.
func (t *Table) PassedThrough(name string) *Stream {
	if host := t.Hosts.Find(name); host != nil {
		return host.Passthrough
	}
	return nil
}

// TCPService is a port whose connections go to a backend as they are.
type TCPService struct {
	Port        uint16
	ProxyHeader bool // clients come with a PROXY protocol header
	Stream      *Stream
}

// Service is what listens on a port, or nil.
func (t *Table) Service(port uint16) *TCPService {
	i, found := slices.BinarySearchFunc(t.TCP, port, func(s TCPService, port uint16) int { return int(s.Port) - int(port) })
	if !found {
		return nil
	}
	return &t.TCP[i]
}
