package pool

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Resolver finds the addresses of a name and how long they may be used; 0 where that is not known.
type Resolver interface {
	Lookup(ctx context.Context, host string) (addrs []netip.Addr, ttl time.Duration, err error)
}

const (
	unknownTTL = 30 * time.Second // for resolvers that do not tell, and for /etc/hosts
	leastTTL   = time.Second
	mostTTL    = 5 * time.Minute
	retryAfter = 5 * time.Second // after a lookup that failed while an older answer is there
	failedTTL  = time.Second     // of a failure without an older answer: one question a second, however many ask

	lookupTimeout = 20 * time.Second // of a lookup, which may serve more requests than the one that began it
	unusedFor     = 10 * time.Minute // after that a name is forgotten
)

// names remembers what names resolve to. An answer is used for its time to live; after that it stays in use for as long as no newer
// one can be had, so that a name server's outage is not ours. A name that nobody asks for any more is forgotten.
type names struct {
	resolver Resolver
	now      func() time.Time

	mu    sync.Mutex
	known map[string]*name
	swept time.Time // when unused names were looked for last
}

// name is one name. All but used is under mu.
type name struct {
	used time.Time // under names.mu

	mu      sync.Mutex
	addrs   []netip.Addr
	err     error // why there are none
	expires time.Time
	turn    int
	asking  chan struct{} // closed at the end of the lookup in progress; nil without one
}

func newNames(r Resolver) *names {
	if r == nil {
		r = newSystemResolver()
	}
	return &names{resolver: r, now: time.Now, known: map[string]*name{}}
}

// lookup returns the addresses of host, and with which to begin. It waits for no longer than ctx lasts.
//
// However many ask at a time, the resolver is asked once, and that goes on if the one who caused it gives up. Who comes while a newer
// answer is being looked for takes the last one.
func (n *names) lookup(ctx context.Context, host string) (addrs []netip.Addr, turn int, err error) {
	entry := n.entry(host)
	asked, wait := n.ask(entry, host)
	if wait {
		select {
		case <-asked:
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("looking up %s: %w", host, ctx.Err())
		}
	}
	entry.mu.Lock()
	defer entry.mu.Unlock()
	entry.turn = (entry.turn + 1) & 0xffff
	return entry.addrs, entry.turn, entry.err
}

// ask begins a lookup where one is due. asked is closed when it is over; wait reports whether the caller needs its result.
func (n *names) ask(e *name, host string) (asked <-chan struct{}, wait bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case n.now().Before(e.expires):
		return nil, false
	case e.asking != nil:
		return e.asking, len(e.addrs) == 0
	}
	e.asking = make(chan struct{})
	go n.resolve(e, host)
	return e.asking, true
}

// resolve asks the resolver and keeps what it says.
func (n *names) resolve(e *name, host string) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	found, ttl, err := n.resolver.Lookup(ctx, host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil:
		e.addrs, e.err, e.expires = found, nil, n.now().Add(usable(ttl))
	case len(e.addrs) > 0:
		e.expires = n.now().Add(retryAfter)
	default:
		e.err, e.expires = err, n.now().Add(failedTTL)
	}
	close(e.asking)
	e.asking = nil
}

func usable(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return unknownTTL
	}
	return min(max(ttl, leastTTL), mostTTL)
}

func (n *names) entry(host string) *name {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.swept) >= unusedFor/10 {
		n.swept = now
		maps.DeleteFunc(n.known, func(_ string, e *name) bool { return now.Sub(e.used) >= unusedFor })
	}
	e, ok := n.known[host]
	if !ok {
		e = &name{}
		n.known[host] = e
	}
	e.used = now
	return e
}
