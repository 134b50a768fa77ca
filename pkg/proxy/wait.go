package proxy

import (
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
)

// parkedLimit bounds how many requests wait for endpoints at a time. A request that waits holds its connection and what of it was
// read; of its body nothing is read.
const parkedLimit = 1024

// wait parks the request while its Service has no usable endpoint, and looks again at each new table, for as long as the route allows
// (policy.Overload). Then it is decided by the table that has endpoints; nothing has been sent anywhere yet, so it still sees one table
// only.
func (x *exchange) wait() {
	patience := x.Set.Overload.WaitForEndpoints
	if patience <= 0 {
		return
	}
	p := x.proxy
	defer p.parked.Add(-1)
	if p.parked.Add(1) > parkedLimit {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		next := p.tables.Next()
		if x.again() {
			return
		}
		select {
		case <-next:
		case <-timer.C:
			return
		case <-x.r.Context().Done():
			return
		}
	}
}

// again decides about the request by the table in use now, and reports whether that has endpoints for it.
func (x *exchange) again() bool {
	next := decide.Decision{Edits: x.Edits}
	decide.Decide(x.proxy.tables.Load(), &x.request, (*world)(x), &next)
	if b := next.Upstream.Backend; b == nil || len(b.Endpoints) == 0 {
		return false
	}
	x.Decision = next
	return true
}
