package proxy

import (
	"time"
)

// parkedLimit bounds how many requests wait for endpoints at a time. A request that waits holds its connection and what of it was
// read; of its body nothing is read.
const parkedLimit = 1024

// wait parks the request while its Service has no usable endpoint, and looks again at each new table, for as long as the route allows
// (policy.Overload). It reports whether the request may go on, with the table that has endpoints; nothing has been sent anywhere yet,
// so it still sees one table only.
func (x *exchange) wait() bool {
	patience := x.set.Overload.WaitForEndpoints
	if patience <= 0 {
		return false
	}
	p := x.proxy
	defer p.parked.Add(-1)
	if p.parked.Add(1) > parkedLimit {
		return false
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		next := p.tables.Next()
		if x.again() {
			return true
		}
		select {
		case <-next:
		case <-timer.C:
			return false
		case <-x.r.Context().Done():
			return false
		}
	}
}

// again routes the request by the table in use now, and reports whether that has endpoints for it.
func (x *exchange) again() bool {
	table := x.proxy.tables.Load()
	match := table.Lookup(x.hostAsked(), x.ask.Path)
	if match.Route == nil || match.Route.Broken != "" || match.Route.Policy == nil || match.Route.Policy.Deny != "" || match.Route.Policy.URLRedirect.Wanted() {
		return false
	}
	if b := table.Backend(match.Route); b == nil || len(b.Endpoints) == 0 {
		return false
	}
	x.table, x.match, x.set, x.record.Route = table, match, match.Route.Policy, match.Route
	return true
}
