package pool

import (
	"sync"
	"sync/atomic"
)

// Group is what is remembered about a set of endpoints as a whole: whose turn it is. It lives as long as its name is in use, whatever
// endpoints come and go.
type Group struct {
	name       string
	references int // under Pool.mu
	turn       atomic.Uint32
	budget     budget
	queue      queue

	watched atomic.Pointer[watched]

	mu sync.Mutex // while an endpoint is ejected
}

// Turn returns the next number of round robin, which wraps around.
func (g *Group) Turn() uint32 { return g.turn.Add(1) - 1 }
