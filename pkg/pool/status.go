package pool

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// Status is what is known about an endpoint, for people and metrics.
type Status struct {
	Service     string `json:"service"` // "namespace/name"; empty for what is not a Service's
	Address     string `json:"address"`
	Protocol    string `json:"protocol"`
	State       string `json:"state"` // "ok", "failing" while the last requests failed, "ejected", "probing" when its time is over, "unhealthy" by its check
	InFlight    int64  `json:"inFlight"`
	Picks       uint64 `json:"picks"`               // requests given to it, ever
	Failures    int64  `json:"consecutiveFailures"` // since the last success
	Failed      uint64 `json:"failed"`              // ever
	Cause       Cause  `json:"-"`                   // of the last failure
	Connections int64  `json:"connections"`         // open now
	Idle        int64  `json:"idleConnections"`     // of those, unused
	Dials       int64  `json:"dials"`               // connections made, ever
	Reused      int64  `json:"reused"`              // requests on a kept connection, ever
}

// Snapshot returns the endpoints that requests have used, sorted by address.
func (p *Pool) Snapshot() []Status {
	p.mu.Lock()
	all := make([]*Endpoint, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		all = append(all, e)
	}
	p.mu.Unlock()
	out := make([]Status, 0, len(all))
	for _, e := range all {
		out = append(out, e.Status())
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(strings.Compare(a.Address, b.Address), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Service, b.Service))
	})
	return out
}

// Status returns what is known about the endpoint now.
func (e *Endpoint) Status() Status {
	s := Status{
		Service: e.key.Service, Address: e.key.Address, Protocol: e.key.Protocol.String(), State: "ok",
		InFlight: e.inFlight.Load(), Picks: e.picks.Load(), Failures: e.failures.Load(), Failed: e.failed.Load(),
		Cause: Cause(e.cause.Load()),
	}
	if s.Failures > 0 {
		s.State = "failing"
	}
	if until := e.ejected.Load(); until != 0 {
		if s.State = "ejected"; time.Duration(until) <= e.clock.now() {
			s.State = "probing"
		}
	}
	if e.unwell.Load() {
		s.State = "unhealthy"
	}
	if t, ok := e.transport.(interface{ Stats() http1.TransportStats }); ok {
		stats := t.Stats()
		s.Connections, s.Idle, s.Dials, s.Reused = stats.Open, stats.Idle, stats.Dials, stats.Reused
	}
	return s
}
