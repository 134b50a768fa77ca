package server

import (
	"runtime"
	"time"
)

// Thousands of clients may come in one instant, after a restart or to do harm. Goroutines run in the order in which they became ready, so
// a request in progress would wait until all of them have begun. An accept loop therefore takes a lot of them and then sleeps for a moment,
// in which everything that is ready runs and the sockets are looked at. A lot is as many as the processors begin in a millisecond or so.
const (
	crowdLot   = 32 // for each processor
	crowdTime  = 2 * time.Millisecond
	crowdPause = 100 * time.Microsecond // the kernel makes up to a millisecond of it when nothing else is ready
)

// crowd recognises that connections come in crowds.
type crowd struct {
	lot, taken int
	began      time.Time // of this lot
}

func newCrowd() crowd { return crowd{lot: crowdLot * runtime.GOMAXPROCS(0)} }

// pushes is told of each connection, and returns true when a whole lot has come within crowdTime.
func (c *crowd) pushes(now time.Time) bool {
	if now.Sub(c.began) > crowdTime {
		c.began, c.taken = now, 0
	}
	if c.taken++; c.taken < c.lot {
		return false
	}
	c.began = time.Time{}
	return true
}
