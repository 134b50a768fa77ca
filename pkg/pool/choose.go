package pool

import (
	"math"
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
	SlowStart   time.Duration // how long a new endpoint gets less than its share; 0 is not at all
	MaxInFlight int64         // requests in flight to one endpoint; 0 is no limit

	at time.Duration // now, on the pool's clock; 0 while nobody asked, since that costs more than most choices
}

// now is the time of this choice.
func (c *Candidates) now() time.Duration {
	if c.at == 0 {
		c.at = c.Endpoints[0].clock.now()
	}
	return c.at
}

// admits reports whether endpoint i may be chosen. roll is uniform and decides for endpoints that are warming up; strict also passes
// over the ejected.
func (c *Candidates) admits(i int, roll uint32, strict bool) bool {
	e := c.Endpoints[i]
	if len(c.Tried) > 0 && slices.Contains(c.Tried, i) || c.MaxInFlight > 0 && e.inFlight.Load() >= c.MaxInFlight {
		return false
	}
	if !strict {
		return true
	}
	return c.well(e) && (c.SlowStart <= 0 || e.warm(c.now(), c.SlowStart, roll))
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

// probes is how many others are looked at in the place of an endpoint that is passed over.
const probes = 8

// RoundRobin chooses the turn-th endpoint. If that is passed over, a few others are looked at in an order that depends on turn, so that
// its share goes to all of them rather than to its neighbour, and not to one that is warming up itself. Where next to all are warming
// up it stays with them: the few that are not could not carry the whole.
func (c *Candidates) RoundRobin(turn uint32) int {
	n := uint32(len(c.Endpoints))
	if n == 0 {
		return -1
	}
	if i := int(turn % n); c.admits(i, spread(turn), true) {
		return i
	}
	random := turn
	for range probes {
		random = spread(random + 0x9e3779b9)
		if i := int(random % n); c.admits(i, math.MaxUint32, true) {
			return i
		}
	}
	for k := range n {
		if i := int((turn + k) % n); c.Sound(i) {
			return i
		}
	}
	return c.last(int(turn % n))
}

// LeastRequest chooses the one of two random endpoints that has fewer requests in flight.
func (c *Candidates) LeastRequest(random uint64) int {
	return c.better(random, func(a, b *Endpoint) bool { return a.inFlight.Load() <= b.inFlight.Load() })
}

// EWMA chooses the one of two random endpoints that is expected to answer sooner: its moving average of latency, times the requests
// it has to answer. One that has not answered yet is taken to be as fast as the other, so that it is not flooded meanwhile.
func (c *Candidates) EWMA(random uint64) int {
	return c.better(random, func(a, b *Endpoint) bool { return sooner(a, b, c.now()) })
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

// Rendezvous chooses the endpoint with the highest score for key, where seeds[i] is a hash of endpoint i's identity;
// key is a Hash too, or random. Every replica that sees the same identities chooses alike, an endpoint that leaves moves only its own keys, and one that joins takes an even
// share (Thaler and Ravishankar, 1998). Warming up does not count, since it would move keys.
func (c *Candidates) Rendezvous(key uint64, seeds []uint64) int {
	best := Preferred(key, seeds)
	if best < 0 || c.Sound(best) {
		return best
	}
	return c.rendezvousSlow(key, seeds)
}

// Preferred is the index of the seed that key is at home on, whatever the state of its endpoint; -1 without any.
//
// The last bits of a score make way for the index, so that one comparison without a branch keeps both, in two chains. Looking the highest
// of eight up at the end took half as long again. Inlined into something larger, the loop takes twice as long.
//
//go:noinline
func Preferred(key uint64, seeds []uint64) int {
	if len(seeds) == 0 {
		return -1
	}
	if len(seeds) > indexMask {
		return preferredOfMany(key, seeds)
	}
	var even, odd uint64
	i := 0
	for ; i+1 < len(seeds); i += 2 {
		even = max(even, score(key, seeds[i])&^indexMask|uint64(i))
		odd = max(odd, score(key, seeds[i+1])&^indexMask|uint64(i+1))
	}
	if i < len(seeds) {
		even = max(even, score(key, seeds[i])&^indexMask|uint64(i))
	}
	return int(max(even, odd) & indexMask)
}

// indexMask is the part of a score that is an index.
const indexMask = 1<<16 - 1

// preferredOfMany is Preferred for more endpoints than an index has room for.
func preferredOfMany(key uint64, seeds []uint64) int {
	best, bestScore := -1, uint64(0)
	for i, seed := range seeds {
		if score := score(key, seed) &^ indexMask; score >= bestScore {
			best, bestScore = i, score
		}
	}
	return best
}

// Sound reports whether endpoint i may be chosen: it was not tried, is not full, not ejected and not unwell.
func (c *Candidates) Sound(i int) bool {
	return c.admits(i, 0, false) && c.well(c.Endpoints[i])
}

// well reports whether an endpoint is to get requests: its check finds it well, and it is not ejected, or its time is over and no probe is
// under way.
func (c *Candidates) well(e *Endpoint) bool {
	if e.unwell.Load() {
		return false
	}
	until := e.ejected.Load()
	return until == 0 || time.Duration(until) <= c.now() && e.inFlight.Load() == 0
}

// rendezvousSlow is for the rare case that the first choice is out.
func (c *Candidates) rendezvousSlow(key uint64, seeds []uint64) int {
	for _, strict := range []bool{true, false} {
		best, bestScore := -1, uint64(0)
		for i, seed := range seeds {
			if !c.admits(i, 0, false) || strict && !c.well(c.Endpoints[i]) {
				continue
			}
			if score := score(key, seed) &^ indexMask; score >= bestScore {
				best, bestScore = i, score
			}
		}
		if best >= 0 {
			return best
		}
	}
	return -1
}

// score is how much key likes the endpoint of seed. Both must be well mixed already. It must never change: replicas of two releases
// run side by side.
func score(key, seed uint64) uint64 {
	high, low := bits.Mul64(key^seed, 0x9e3779b97f4a7c15)
	return high ^ low
}

// mix combines two numbers to one whose bits depend on all of theirs. It must never change, for the same reason.
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
	h := uint64(len(text)) ^ 0x5851f42d4c957f2d
	for ; len(text) >= 8; text = text[8:] {
		h = fold(h ^ (uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
			uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56))
	}
	rest := uint64(0)
	for i := len(text) - 1; i >= 0; i-- {
		rest = rest<<8 | uint64(text[i])
	}
	return mix(fold(h^rest), 0x5851f42d4c957f2d)
}

// fold multiplies to 128 bits and folds these, by which each bit reaches all others.
func fold(x uint64) uint64 {
	high, low := bits.Mul64(x^0x9e3779b97f4a7c15, 0xa0761d6478bd642f)
	return high ^ low
}
