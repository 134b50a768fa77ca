//go:build linux

package conformance

import (
	"fmt"
	"net"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// pods are the backends that stand for Pods, by Service.
type pods struct {
	address string
	of      map[string][]*cluster.Backend
}

// need returns the first n endpoints of a Service, and starts those there are
// not yet.
func (p *pods) need(service string, n int) ([]*cluster.Backend, error) {
	for len(p.of[service]) < n {
		b, err := cluster.StartBackend(fmt.Sprintf("%s/%d", service, len(p.of[service])), net.JoinHostPort(p.address, "0"), nil)
		if err != nil {
			return nil, err
		}
		p.of[service] = append(p.of[service], b)
	}
	return p.of[service][:n], nil
}

// close ends them all.
func (p *pods) close() {
	for _, of := range p.of {
		for _, b := range of {
			b.Close()
		}
	}
}
