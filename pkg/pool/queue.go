package pool

import (
	"context"
	"sync"
	"time"
)

// queue bounds how many requests of a group are in flight, and lets a few wait for their turn, first come first served.
type queue struct {
	mu      sync.Mutex
	running int
	waiting []chan struct{} // closed when its turn has come
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
	q.waiting = append(q.waiting, turn)
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

// giveUp leaves the queue, unless the turn came in this very moment.
func (q *queue) giveUp(turn chan struct{}) (admitted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == turn {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return false
		}
	}
	return true
}

// Exit ends a request that Enter admitted, and hands its place to the one that waits longest.
func (g *Group) Exit() {
	q := &g.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		close(q.waiting[0])
		q.waiting = q.waiting[1:]
		return
	}
	q.running--
}
