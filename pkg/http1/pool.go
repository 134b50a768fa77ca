package http1

import (
	"context"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// upstreamConn is one connection to the endpoint. It holds no buffers.
type upstreamConn struct {
	wire     wire
	owner    *Transport
	born     int64
	idleFrom int64
	taken    int64 // when it was last taken out of the pool, or made
	lasts    int64 // how long the endpoint says that it keeps it idle; 0 unknown
	served   int   // requests finished
	// unsure: the last response has no body whatever its fields say (HEAD,
	// 204, 304), and there are servers that send one all the same; or a body
	// that did not come with the head, of which more may be in the socket than
	// its length says.
	unsure bool
}

func (c *upstreamConn) close() {
	c.owner.stats.open.Add(-1)
	_ = c.wire.conn.Close()
}

// trusted is for how long a connection counts as alive after it was used. A
// look at the socket costs as much as the parsing of a request, and under load
// a connection is taken again within microseconds. It is short because what an
// endpoint says in that time, too much of a body for instance, would be read as
// the next answer.
const trusted = int64(250 * time.Microsecond)

// suspicion is for how long after a kept connection turned out dead no
// connection of the endpoint is trusted: some servers close without notice. So
// it is after bytes that belong to no answer.
const suspicion = int64(time.Minute)

// get returns a kept connection that is alive, or a new one. careful: look at
// the socket in any case, and take none that may be about to end, because the
// request cannot be tried again.
func (t *Transport) get(x *clientExchange, careful bool) (c *upstreamConn, op string, err error) {
	for {
		c, err := t.pop()
		if err != nil {
			return nil, "limit", err
		}
		if c == nil {
			return t.dial(x)
		}
		at := now()
		if careful && t.mayEnd(c, at) {
			_ = t.quiet(c, at) // it may be seen to have ended
			c.close()
			return t.dial(x)
		}
		if t.fresh(c, at) && (at-c.idleFrom < t.trust && !careful && !c.unsure && at > t.suspect.Load() || t.quiet(c, at)) {
			t.stats.reused.Add(1)
			c.taken = at
			return c, "", nil
		}
		t.stats.dead.Add(1)
		c.close()
	}
}

// quiet looks at the socket. An endpoint that says more than its answers is not trusted for a while.
func (t *Transport) quiet(c *upstreamConn, at int64) bool {
	state := c.wire.glance()
	switch state {
	case sock.Ready:
		t.suspect.Store(at + suspicion)
	case sock.Gone:
		t.seen.closed(at-c.idleFrom, at)
	}
	return state == sock.Quiet
}

func (t *Transport) pop() (*upstreamConn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	n := len(t.idle)
	if n == 0 {
		return nil, nil
	}
	c := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	return c, nil
}

func (t *Transport) dial(x *clientExchange) (*upstreamConn, string, error) {
	ctx, connect, most := x.req.Context(), x.timeouts.Connect, x.mostConns()
	if open := t.stats.open.Add(1); most > 0 && open > int64(most) {
		t.stats.open.Add(-1)
		return nil, "limit", ErrTooManyConns
	}
	t.stats.dials.Add(1)
	if connect > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connect)
		defer cancel()
	}
	conn, err := t.Dial(ctx)
	if err != nil {
		t.stats.open.Add(-1)
		t.stats.failures.Add(1)
		return nil, "dial", err
	}
	c := &upstreamConn{owner: t, born: now()}
	c.taken = c.born
	c.wire.open(conn)
	return c, "", nil
}

func (x *clientExchange) mostConns() int {
	if x.call != nil && x.call.MaxConns > 0 {
		return x.call.MaxConns
	}
	return x.t.MaxConns
}

// fresh reports whether a connection may carry another request.
func (t *Transport) fresh(c *upstreamConn, at int64) bool {
	switch {
	case t.MaxRequestsPerConn > 0 && c.served >= t.MaxRequestsPerConn:
		return false
	case t.MaxLife > 0 && at-c.born >= int64(t.MaxLife):
		return false
	}
	idle := at - c.idleFrom
	return c.idleFrom == 0 || (t.maxWait <= 0 || idle < int64(t.maxWait)) && (c.lasts == 0 || idle < c.lasts)
}

// put keeps a connection whose response has ended cleanly, or on which
// nothing was sent.
func (t *Transport) put(c *upstreamConn) {
	c.idleFrom = 0
	at := now()
	if !t.fresh(c, at) || c.wire.stop.Load() {
		c.close()
		return
	}
	c.idleFrom = at
	t.mu.Lock()
	if t.closed || len(t.idle) >= t.maxIdle {
		t.mu.Unlock()
		c.close()
		return
	}
	t.idle = append(t.idle, c)
	if len(t.idle) == 1 {
		t.startReaper()
	}
	t.mu.Unlock()
}

// startReaper is called with mu held when the first connection is kept.
func (t *Transport) startReaper() {
	switch {
	case t.reaper == nil:
		t.reaper = time.AfterFunc(t.reapPeriod(), t.reap)
	case !t.reaping:
		t.reaper.Reset(t.reapPeriod())
	}
	t.reaping = true
}

// reapPeriod is how often idle connections are looked at.
func (t *Transport) reapPeriod() time.Duration {
	if t.maxWait <= 0 {
		return 10 * time.Second
	}
	return min(max(t.maxWait/4, 10*time.Millisecond), 10*time.Second)
}

// reap closes connections that were idle or alive for too long, or that the
// peer has closed.
func (t *Transport) reap() {
	var gone []*upstreamConn
	at := now()
	t.mu.Lock()
	kept := t.idle[:0]
	for _, c := range t.idle {
		if t.fresh(c, at) && t.quiet(c, at) {
			kept = append(kept, c)
		} else {
			gone = append(gone, c)
		}
	}
	clear(t.idle[len(kept):])
	t.idle = kept
	if t.reaping = len(kept) > 0; t.reaping {
		t.reaper.Reset(t.reapPeriod())
	}
	t.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
}
