package http1

import (
	"strconv"
	"sync/atomic"
	"time"
)

// How long an endpoint keeps idle connections.
//
// A request that comes just when the endpoint closes its connection is lost
// with it, and often nobody can tell whether it was read (see unread.go). What
// may be repeated, is. Another request had better not take a connection that is
// about to be closed. Endpoints say how long they keep one ("Keep-Alive:
// timeout=5"), or are seen to have closed one: then a request that cannot be
// repeated takes no connection that was idle for more than half of that time.
// Without either it takes any that a look shows to be open.

// idleTime is the shortest time after which an endpoint was seen to have closed
// an idle connection.
type idleTime struct{ shortest, until atomic.Int64 }

// closed notes at a time that a connection was closed when it had been idle for
// age. That counts for a minute, and for the next closings to be seen.
func (i *idleTime) closed(age, at int64) {
	if i.known(at) {
		age = min(age, i.shortest.Load())
	}
	i.shortest.Store(age)
	i.until.Store(at + suspicion + 4*age)
}

func (i *idleTime) known(at int64) bool { return at < i.until.Load() }

// mayEnd reports whether an idle connection may be about to be closed.
func (t *Transport) mayEnd(c *upstreamConn, at int64) bool {
	idle := at - c.idleFrom
	return c.lasts > 0 && idle > c.lasts/2 || t.seen.known(at) && idle > t.seen.shortest.Load()/2
}

// keepAlive takes "timeout" from a Keep-Alive field (RFC 2068 section 19.7.1.1).
func (x *clientExchange) keepAlive(value string) {
	for value != "" {
		var parameter string
		parameter, value = nextElement(value)
		const name = "timeout="
		if len(parameter) <= len(name) || !equalFold(parameter[:len(name)], name) {
			continue
		}
		if seconds, err := strconv.ParseUint(parameter[len(name):], 10, 31); err == nil {
			x.conn.lasts = max(int64(seconds)*int64(time.Second), 1)
		}
	}
}
