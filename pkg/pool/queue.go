package pool

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue bounds how many requests of a group are in flight, and lets a few wait for their turn, first come first served.
type queue struct {
	mu      sync.Mutex
	running int
	waiting []waiter
}

// waiter is a request that waits. Routes to one Service may have limits of their own, and limits change, so each brings its own.
type waiter struct {
	turn  chan struct{} // closed when it has come
	limit int
}

// queueLength bounds how many requests wait for one group; the next is refused at once.
const queueLength = 1024

// Enter admits a request when fewer than limit are in flight, waiting for at most patience. After true, Exit must follow.
func (g *Group) Enter(ctx context.Context, limit int, patience time.Duration) bool {
	q := &g.queue
	q.mu.Lock()
	if q.running < limit && len(q.waiting) == 0 {
		q.running++
		q.mu.Unlock()
		return true
	}
	if patience <= 0 || len(q.waiting) >= queueLength {
		q.mu.Unlock()
		return false
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, waiter{turn, limit})
	q.admit() // there may be room: its limit is a higher one
	q.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return q.giveUp(turn)
}

// admit lets those in whose turn has come. It is called with the mutex held.
func (q *queue) admit() {
	for len(q.waiting) > 0 && q.running < q.waiting[0].limit {
		close(q.waiting[0].turn)
		q.waiting = q.waiting[1:]
		q.running++
	}
}

// giveUp leaves the queue, unless the turn came in this very moment.
func (q *queue) giveUp(turn chan struct{}) (admitted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.waiting, func(w waiter) bool { return w.turn == turn })
	if i < 0 {
		return true
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.admit() // the next one may have a higher limit
	return false
}

// Exit ends a request that Enter admitted, and hands its place to the one that waits longest.
func (g *Group) Exit() {
	q := &g.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.admit()
}
