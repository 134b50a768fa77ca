package pool

import (
	"net/netip"
	"sync"
	"time"
)

// Limiter counts what clients do: requests per time by a leaky bucket, and requests at a time. Its memory is bounded: beyond its
// size the client that was quiet for longest is forgotten, which forgives it and harms nobody else.
type Limiter struct {
	clock  clock
	shards [limiterShards]limiterShard
}

// LimitKey is what is counted apart: the limits of one Ingress, for one client.
type LimitKey struct {
	Namespace, Name string
	Kind            LimitKind
	Client          netip.Addr
}

// LimitKind is one of the limits that an Ingress may have.
type LimitKind uint8

// The limits.
const (
	PerSecond LimitKind = iota
	PerMinute
	AtATime
)

const (
	limiterShards = 64
	// limiterSize is how many clients are remembered, about 270 bytes each.
	limiterSize = 1 << 18
)

type limiterShard struct {
	mu      sync.Mutex
	buckets map[LimitKey]*bucket
	newest  *bucket // the ends of a list by last use
	oldest  *bucket
}

// bucket is what is remembered of one client under one limit.
type bucket struct {
	key          LimitKey
	level        float64 // requests that have not leaked out yet
	last         time.Duration
	inFlight     int
	newer, older *bucket
}

// NewLimiter returns a Limiter that has seen nobody.
func NewLimiter() *Limiter {
	l := &Limiter{clock: clock{time.Now()}}
	for i := range l.shards {
		l.shards[i].buckets = map[LimitKey]*bucket{}
	}
	return l
}

// Rate is how many requests may come: PerSecond on and on, and Burst at once beyond that.
type Rate struct {
	Kind             LimitKind
	PerSecond, Burst float64
}

// Allow counts a request and reports whether it is within all rates, as nginx's limit_req with nodelay. One that is refused counts
// for none. key's Kind is not looked at.
func (l *Limiter) Allow(key LimitKey, rates ...Rate) bool {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.clock.now()
	for _, r := range rates {
		if b := s.buckets[key.of(r.Kind)]; b != nil && b.after(now, r) > r.Burst {
			return false
		}
	}
	for _, r := range rates {
		b, found := s.use(key.of(r.Kind))
		if found {
			b.level = b.after(now, r)
		}
		b.last = now
	}
	return true
}

// of is the key of another limit for the same client.
func (k LimitKey) of(kind LimitKind) LimitKey {
	k.Kind = kind
	return k
}

// after is the bucket's level when one more request has come. The first one after a while leaves it empty.
func (b *bucket) after(now time.Duration, r Rate) float64 {
	return max(0, b.level-r.PerSecond*(now-b.last).Seconds()+1)
}

// Acquire counts a request in progress and reports whether there were fewer than limit before; then Release must follow.
func (l *Limiter) Acquire(key LimitKey, limit int) bool {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := s.use(key)
	if b.inFlight >= limit {
		return false
	}
	b.inFlight++
	return true
}

// Release ends a request that Acquire admitted.
func (l *Limiter) Release(key LimitKey) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	if b == nil {
		return
	}
	if b.inFlight--; b.inFlight <= 0 {
		s.forget(b)
	}
}

// Size is how many clients are remembered.
func (l *Limiter) Size() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}

func (l *Limiter) shard(key LimitKey) *limiterShard {
	client := key.Client.As16()
	var n uint64
	for _, c := range client[8:] {
		n = n<<8 | uint64(c)
	}
	for i, c := range client[:8] {
		n ^= uint64(c) << (8 * i)
	}
	return &l.shards[mix(n, 0x9e3779b97f4a7c15)%limiterShards]
}

// use finds or makes a bucket and makes it the newest.
func (s *limiterShard) use(key LimitKey) (b *bucket, found bool) {
	b, found = s.buckets[key]
	if found {
		s.unlink(b)
	} else {
		if len(s.buckets) >= limiterSize/limiterShards {
			s.evict()
		}
		b = &bucket{key: key}
		s.buckets[key] = b
	}
	b.older = s.newest
	if s.newest != nil {
		s.newest.newer = b
	}
	s.newest = b
	if s.oldest == nil {
		s.oldest = b
	}
	return b, found
}

// evict forgets the oldest bucket without a request in progress.
func (s *limiterShard) evict() {
	for b := s.oldest; b != nil; b = b.newer {
		if b.inFlight == 0 {
			s.forget(b)
			return
		}
	}
}

func (s *limiterShard) forget(b *bucket) {
	s.unlink(b)
	delete(s.buckets, b.key)
}

func (s *limiterShard) unlink(b *bucket) {
	if b.newer != nil {
		b.newer.older = b.older
	} else if s.newest == b {
		s.newest = b.older
	}
	if b.older != nil {
		b.older.newer = b.newer
	} else if s.oldest == b {
		s.oldest = b.newer
	}
	b.newer, b.older = nil, nil
}
