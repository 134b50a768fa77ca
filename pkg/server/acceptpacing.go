package server

import (
	"runtime"
	"time"
)

// Thousands of clients may come in one instant, after a restart or to do harm. Goroutines run in the order in which they became ready, so
// a request in progress would wait until all of them have begun. An accept loop therefore takes a lot of them and then sleeps for a moment,
// in which everything that is ready runs and the sockets are looked at. A lot is as many as the processors begin in a millisecond or so.
const (
	burstPerCPU = 32 // for each processor
	burstWindow = 2 * time.Millisecond
	burstPause  = 100 * time.Microsecond // the kernel makes up to a millisecond of it when nothing else is ready
)

// acceptPacer recognises bursts of connections.
type acceptPacer struct {
	lot, taken int
	began      time.Time // of this lot
}

func newAcceptPacer() acceptPacer { return acceptPacer{lot: burstPerCPU * runtime.GOMAXPROCS(0)} }

// burst is told of each connection, and returns true when a whole lot has come within burstWindow.
func (p *acceptPacer) burst(now time.Time) bool {
	if now.Sub(p.began) > burstWindow {
		p.began, p.taken = now, 0
	}
	if p.taken++; p.taken < p.lot {
		return false
	}
	p.began = time.Time{}
	return true
}
