package pool

import (
	"context"
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
)

// names remembers what names resolve to. An answer is used for its time to live; after that it stays in use for as long as no newer
// one can be had, so that a name server's outage is not ours.
type names struct {
	resolver Resolver
	now      func() time.Time

	mu    sync.Mutex
	known map[string]*name
}

type name struct {
	refresh sync.Mutex // held by the one who asks the resolver

	mu      sync.Mutex
	addrs   []netip.Addr
	expires time.Time
	turn    int
}

func newNames(r Resolver) *names {
	if r == nil {
		r = newSystemResolver()
	}
	return &names{resolver: r, now: time.Now, known: map[string]*name{}}
}

// lookup returns the addresses of host, and with which to begin.
func (n *names) lookup(ctx context.Context, host string) ([]netip.Addr, int, error) {
	entry := n.entry(host)
	addrs, turn, fresh := entry.get(n.now())
	if fresh {
		return addrs, turn, nil
	}
	if len(addrs) == 0 {
		entry.refresh.Lock()
	} else if !entry.refresh.TryLock() {
		return addrs, turn, nil // somebody is asking; the last answer is good enough meanwhile
	}
	defer entry.refresh.Unlock()
	if addrs, turn, fresh := entry.get(n.now()); fresh {
		return addrs, turn, nil
	}
	found, ttl, err := n.resolver.Lookup(ctx, host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if err != nil {
		if len(addrs) == 0 {
			return nil, 0, err
		}
		entry.set(addrs, n.now().Add(retryAfter))
		return addrs, turn, nil
	}
	entry.set(found, n.now().Add(usable(ttl)))
	return found, turn, nil
}

func usable(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return unknownTTL
	}
	return min(max(ttl, leastTTL), mostTTL)
}

func (n *names) entry(host string) *name {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.known[host]
	if !ok {
		e = &name{}
		n.known[host] = e
	}
	return e
}

func (e *name) get(now time.Time) (addrs []netip.Addr, turn int, fresh bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn = (e.turn + 1) & 0xffff
	return e.addrs, e.turn, len(e.addrs) > 0 && now.Before(e.expires)
}

func (e *name) set(addrs []netip.Addr, expires time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addrs, e.expires = addrs, expires
}
