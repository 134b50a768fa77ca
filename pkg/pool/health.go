package pool

import (
	"math"
	"sync"
	"time"
)

// Passive health: an endpoint whose requests keep failing is left alone for a while (ejected), then given one request at a time as a
// probe (half-open). A probe that succeeds ends it; one that fails ejects again, for twice as long, up to ten times the first.
//
// Never more than half of a group is ejected: if everything fails, it is not the endpoints.

const longestEjection = 10 // times the first

// health is what an endpoint's failures have led to.
type health struct {
	mu        sync.Mutex
	ejections int // since the last success
}

// Ejection is when an endpoint is left alone.
type Ejection struct {
	After int           // consecutive failures; 0 is never
	For   time.Duration // the first time
}

// Failed counts a request to e that failed by why and that Begin was called for, and ejects e if that is due, which it reports.
// endpoints are all of the group.
func (g *Group) Failed(e *Endpoint, endpoints []*Endpoint, rule Ejection, why Cause) (ejected bool) {
	e.cause.Store(uint32(why))
	probe := e.ejected.Load() != 0
	e.End(false)
	if rule.After <= 0 || !probe && e.failures.Load() < int64(rule.After) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := e.clock.now()
	out := 0
	for _, other := range endpoints {
		if other != e && other.ejected.Load() != 0 {
			out++
		}
	}
	if !probe && 2*(out+1) > len(endpoints) {
		return false
	}
	return e.eject(now, rule.For)
}

func (e *Endpoint) eject(now, first time.Duration) bool {
	e.health.mu.Lock()
	defer e.health.mu.Unlock()
	if until := time.Duration(e.ejected.Load()); until > now {
		return false
	}
	length := first
	for range min(e.health.ejections, 4) {
		length *= 2
	}
	e.health.ejections++
	e.ejected.Store(int64(now + min(length, longestEjection*first)))
	return true
}

// restore ends an ejection after a success.
func (e *Endpoint) restore() {
	e.health.mu.Lock()
	defer e.health.mu.Unlock()
	e.health.ejections = 0
	e.ejected.Store(0)
}

// warm reports whether an endpoint that is new gets this request: its share grows evenly from a tenth to the whole.
func (e *Endpoint) warm(now, slowStart time.Duration, roll uint32) bool {
	age := now - e.since
	if age >= slowStart {
		return true
	}
	share := max(float64(age)/float64(slowStart), 0.1)
	return float64(roll) < share*math.MaxUint32
}

// latency is a moving average that forgets with time: the weight of the past halves about every seven seconds.
type latency struct {
	mu      sync.Mutex
	average float64 // seconds
	touched time.Duration
}

const forgetting = 10 * time.Second // ingress-nginx's decay time

// Answered counts an answer's latency for EWMA.
func (e *Endpoint) Answered(after time.Duration) {
	now := e.clock.now()
	l := &e.latency
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.touched == 0 {
		l.average = after.Seconds()
	} else {
		past := math.Exp(-float64(now-l.touched) / float64(forgetting))
		l.average = l.average*past + after.Seconds()*(1-past)
	}
	l.touched = max(now, 1)
}

// expected is how long the endpoint has taken of late, faded by the time since; known is false while it has never answered.
func (e *Endpoint) expected(now time.Duration) (seconds float64, known bool) {
	l := &e.latency
	l.mu.Lock()
	average, touched := l.average, l.touched
	l.mu.Unlock()
	if touched == 0 {
		return 0, false
	}
	return average * math.Exp(-float64(now-touched)/float64(forgetting)), true
}

// sooner reports whether a is expected to answer one more request at least as soon as b.
func sooner(a, b *Endpoint, now time.Duration) bool {
	ofA, knownA := a.expected(now)
	ofB, knownB := b.expected(now)
	switch {
	case !knownA && !knownB:
		ofA, ofB = 1, 1
	case !knownA:
		ofA = ofB
	case !knownB:
		ofB = ofA
	}
	return ofA*float64(a.inFlight.Load()+1) <= ofB*float64(b.inFlight.Load()+1)
}
