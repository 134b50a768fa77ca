package pool

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// Active health: endpoints are asked at intervals whether they are well, and one that is not gets no requests, unless none of its
// group is: then all of them go on getting them, since it may be the check that is wrong.
//
// Checks are wanted by requests: as long as some come to a group that asks for them, and for a few intervals after, they go on. So
// an endpoint that nobody uses is left in peace, and a check ends by itself when it is not asked for any more. An endpoint has one
// check at a time; where two are wanted the first stays until nobody wants it.

// Check is how an endpoint is asked whether it is well: GET Path, which has to answer with a status from 200 to 399 in time.
type Check struct {
	Path              string
	Host              string // empty is the endpoint's address
	Interval, Timeout time.Duration
	Rise, Fall        int // how many good answers in a row make an endpoint well, how many bad ones unwell
}

const (
	// checksAtATime bounds the checks in flight of all endpoints.
	checksAtATime = 64
	// wantedFor is for how many intervals a check goes on without a request that wants it.
	wantedFor = 3
	// checkBody is how much of an answer is read, so that its connection can be kept.
	checkBody = 64 << 10
)

// watched is what a group has had checked, and when that is to be looked at again.
type watched struct {
	check     Check
	endpoints []*Endpoint
	until     time.Duration
}

// Watch has endpoints checked. It is called for each request, and next to always returns at once.
func (g *Group) Watch(c Check, endpoints []*Endpoint) {
	if len(endpoints) == 0 {
		return
	}
	now := endpoints[0].clock.now()
	w := g.watched.Load()
	if w != nil && now < w.until && w.check == c && len(w.endpoints) == len(endpoints) && &w.endpoints[0] == &endpoints[0] {
		return
	}
	if !g.watched.CompareAndSwap(w, &watched{check: c, endpoints: endpoints, until: now + c.Interval/2}) {
		return
	}
	for _, e := range endpoints {
		e.watch(c)
	}
}

// checker asks one endpoint.
type checker struct {
	check  Check
	probe  func(context.Context) bool
	wanted atomic.Int64 // when last, on the pool's clock
	stop   chan struct{}

	good, bad int // in a row
}

func (e *Endpoint) watch(c Check) {
	e.checking.Lock()
	defer e.checking.Unlock()
	now := e.clock.now()
	if k := e.checker; k != nil {
		if k.check == c {
			k.wanted.Store(int64(now))
		}
		return
	}
	if e.left.Load() {
		return
	}
	e.checker = &checker{check: c, stop: make(chan struct{}), probe: func(ctx context.Context) bool { return e.ask(ctx, &c) }}
	e.checker.wanted.Store(int64(now))
	go e.runChecks(e.checker)
}

// unwatch ends the check of an endpoint that leaves.
func (e *Endpoint) unwatch() {
	e.checking.Lock()
	defer e.checking.Unlock()
	if e.checker != nil {
		close(e.checker.stop)
		e.checker = nil
	}
}

// runChecks begins at a random moment and keeps irregular time, so that neither endpoints nor replicas fall into step.
func (e *Endpoint) runChecks(k *checker) {
	timer := time.NewTimer(rand.N(k.check.Interval)) //nolint:gosec // chance
	defer timer.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-timer.C:
		}
		if e.abandon(k) {
			return
		}
		k.note(e, k.ask(e.pool.checks))
		timer.Reset(k.check.Interval*9/10 + rand.N(k.check.Interval/5+1)) //nolint:gosec // chance
	}
}

// abandon ends a check that nobody wants any more.
func (e *Endpoint) abandon(k *checker) bool {
	e.checking.Lock()
	defer e.checking.Unlock()
	if e.checker != k {
		return true
	}
	if e.clock.now()-time.Duration(k.wanted.Load()) <= wantedFor*k.check.Interval {
		return false
	}
	e.checker = nil
	e.unwell.Store(false)
	return true
}

// ask asks once, when there is a place among the checks in flight.
func (k *checker) ask(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
	case <-k.stop:
		return true
	}
	defer func() { <-places }()
	ctx, cancel := context.WithTimeout(context.Background(), k.check.Timeout)
	defer cancel()
	return k.probe(ctx)
}

// note counts an answer.
func (k *checker) note(e *Endpoint, ok bool) {
	if ok {
		k.good, k.bad = k.good+1, 0
		if k.good >= k.check.Rise {
			e.unwell.Store(false)
		}
		return
	}
	k.good, k.bad = 0, k.bad+1
	if k.bad >= k.check.Fall {
		e.unwell.Store(true)
	}
}

// ask sends the request of a check, over the endpoint's own connections.
func (e *Endpoint) ask(ctx context.Context, c *Check) bool {
	scheme := "http"
	if e.key.Protocol == HTTP1TLS || e.key.Protocol == H2 {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+e.key.Address+c.Path, nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", "usher-health-check")
	if c.Host != "" {
		req.Host = c.Host
	}
	response, err := e.transport.RoundTripWith(req, &Call{Timeouts: Timeouts{Connect: c.Timeout, FirstByte: c.Timeout, ReadIdle: c.Timeout, WriteIdle: c.Timeout}})
	if err != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, response.Body, checkBody)
	_ = response.Body.Close()
	return response.StatusCode >= 200 && response.StatusCode < 400
}
