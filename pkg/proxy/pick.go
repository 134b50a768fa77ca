package proxy

import (
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// pick finds the endpoints that may have the request. Which of them gets it is chosen for each try, by next.
func (x *exchange) pick() bool {
	x.members, x.transit = x.proxy.bindings.find(x.record.Backend, x.protocol())
	return false
}

// protocol is how the endpoints are spoken to: as the route says, else as the Service does, else HTTP/1.1.
func (x *exchange) protocol() pool.Protocol {
	protocol := x.set.Upstream.Protocol
	if protocol == policy.ProtocolUnset {
		protocol = x.record.Backend.Protocol
	}
	switch protocol {
	case policy.HTTPS:
		return pool.HTTP1TLS
	case policy.GRPC:
		return pool.H2C
	case policy.GRPCS:
		return pool.H2
	case policy.AutoHTTP:
		if x.ask.Scheme == "https" {
			return pool.HTTP1TLS
		}
	}
	return pool.HTTP1
}

// next chooses the endpoint for one more try: round robin among those that were not asked yet, nil when none is left. An endpoint
// whose connection had been kept, and turned out to be closed, has not been asked: it gets another chance when it is the only one.
func (x *exchange) next() *pool.Endpoint {
	n := len(x.members.endpoints)
	if len(x.tried) == n {
		if f := x.failure; !f.Reused || f.Received || f.Cause != pool.Reset {
			return nil
		}
		x.tried = x.tried[:0]
	}
	i := int(x.members.group.Turn() % uint32(n))
	for slices.Contains(x.tried, i) {
		i = (i + 1) % n
	}
	x.tried = append(x.tried, i)
	return x.members.endpoints[i]
}
