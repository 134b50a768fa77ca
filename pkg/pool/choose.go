package pool

import (
	"math/bits"
	"slices"
	"time"
)

// Candidates are the endpoints that a request may go to. Its methods are the ways to choose one; each returns an index, or -1 when
// none is left, and allocates nothing.
//
// An endpoint that was tried is out. One that is ejected, full or still warming up is passed over, unless nothing else is left: then
// an ejected one is better than no answer, while a full one stays out.
type Candidates struct {
	Endpoints   []*Endpoint
	Tried       []int         // indexes of endpoints that this request was sent to
	Now         time.Duration // of the pool's clock, see Pool.Now
	SlowStart   time.Duration // how long a new endpoint gets less than its share; 0 is not at all
	MaxInFlight int64         // requests in flight to one endpoint; 0 is no limit
}

// admits tells whether endpoint i may be chosen. roll is uniform and decides for endpoints that are warming up; strict also passes
// over the ejected.
func (c *Candidates) admits(i int, roll uint32, strict bool) bool {
	e := c.Endpoints[i]
	if len(c.Tried) > 0 && slices.Contains(c.Tried, i) || c.MaxInFlight > 0 && e.inFlight.Load() >= c.MaxInFlight {
		return false
	}
	if !strict {
		return true
	}
	return e.admitted(c.Now) && (c.SlowStart <= 0 || e.warm(c.Now, c.SlowStart, roll))
}

// last is the choice when nothing is admitted strictly: the next one that is admitted at all.
func (c *Candidates) last(start int) int {
	n := len(c.Endpoints)
	for k := range n {
		if i := (start + k) % n; c.admits(i, 0, false) {
			return i
		}
	}
	return -1
}

// RoundRobin chooses the turn-th endpoint, or the first after it that is admitted.
func (c *Candidates) RoundRobin(turn uint32) int {
	n := uint32(len(c.Endpoints))
	if n == 0 {
		return -1
	}
	start := turn % n
	for k := range n {
		i := start + k
		if i >= n {
			i -= n
		}
		if c.admits(int(i), spread(turn+k), true) {
			return int(i)
		}
	}
	return c.last(int(start))
}

// LeastRequest chooses the one of two random endpoints that has fewer requests in flight.
func (c *Candidates) LeastRequest(random uint64) int {
	return c.better(random, func(a, b *Endpoint) bool { return a.inFlight.Load() <= b.inFlight.Load() })
}

// EWMA chooses the one of two random endpoints that is expected to answer sooner: its moving average of latency, times the requests
// it has to answer.
func (c *Candidates) EWMA(random uint64) int {
	now := c.Now
	return c.better(random, func(a, b *Endpoint) bool { return a.expected(now) <= b.expected(now) })
}

func (c *Candidates) better(random uint64, prefer func(a, b *Endpoint) bool) int {
	n := uint32(len(c.Endpoints))
	if n == 0 {
		return -1
	}
	first := c.RoundRobin(uint32(random) % n)
	if first < 0 || n == 1 {
		return first
	}
	other := (uint32(first) + 1 + uint32(random>>32)%(n-1)) % n
	if !c.admits(int(other), uint32(random>>16), true) || prefer(c.Endpoints[first], c.Endpoints[other]) {
		return first
	}
	return int(other)
}

// Rendezvous chooses the endpoint with the highest score for key, where seeds[i] is a hash of endpoint i's identity. Every replica
// that sees the same identities chooses alike, an endpoint that leaves moves only its own keys, and one that joins takes an even
// share (Thaler and Ravishankar, 1998). Warming up does not count, since it would move keys.
func (c *Candidates) Rendezvous(key uint64, seeds []uint64) int {
	best, second, bestScore, secondScore := -1, -1, uint64(0), uint64(0)
	for i, seed := range seeds {
		score := mix(key, seed)
		if score < bestScore || score == bestScore && best >= 0 {
			if score > secondScore {
				second, secondScore = i, score
			}
			continue
		}
		second, secondScore = best, bestScore
		best, bestScore = i, score
	}
	switch {
	case best < 0:
		return -1
	case c.sound(best):
		return best
	case second >= 0 && c.sound(second):
		return second
	}
	return c.rendezvousSlow(key, seeds)
}

func (c *Candidates) sound(i int) bool {
	return c.admits(i, 0, false) && c.Endpoints[i].admitted(c.Now)
}

// rendezvousSlow is for the rare case that the first two choices are out.
func (c *Candidates) rendezvousSlow(key uint64, seeds []uint64) int {
	for _, strict := range []bool{true, false} {
		best, bestScore := -1, uint64(0)
		for i, seed := range seeds {
			if !c.admits(i, 0, false) || strict && !c.Endpoints[i].admitted(c.Now) {
				continue
			}
			if score := mix(key, seed); best < 0 || score > bestScore {
				best, bestScore = i, score
			}
		}
		if best >= 0 {
			return best
		}
	}
	return -1
}

// Subset chooses at random among the size endpoints with the highest scores for key.
func (c *Candidates) Subset(key uint64, seeds []uint64, size int, random uint64) int {
	nth := int(random % uint64(max(1, min(size, len(seeds)))))
	skip := Candidates{Endpoints: c.Endpoints, Tried: c.Tried, Now: c.Now, MaxInFlight: c.MaxInFlight}
	var tried [16]int
	skip.Tried = append(tried[:0], c.Tried...)
	for range nth {
		i := skip.Rendezvous(key, seeds)
		if i < 0 {
			break
		}
		skip.Tried = append(skip.Tried, i)
	}
	if i := skip.Rendezvous(key, seeds); i >= 0 {
		return i
	}
	return c.Rendezvous(key, seeds)
}

// mix combines a key and a seed to a score, well enough that scores are uniform and independent. It must never change: replicas of
// two releases run side by side.
func mix(key, seed uint64) uint64 {
	high, low := bits.Mul64(key^0x9e3779b97f4a7c15, seed|1)
	x := high ^ low ^ seed
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// spread makes a uniform number of a counter.
func spread(n uint32) uint32 { return uint32(mix(uint64(n), 0x2545f4914f6cdd1d) >> 16) }

// Hash gives a number for a text: the seed of an identity, or a key. It must never change, for the same reason as mix.
func Hash(text string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := 0; i < len(text); i++ {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h, 0x5851f42d4c957f2d)
}
