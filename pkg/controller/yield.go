package controller

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Yielder gives requests their turn while objects are read and resolved on the same processor. Yield is called after each small piece
// of that work; when the pieces since the last pause took a slice of time, it pauses for as long. So a turn takes about twice as long
// as it would alone, and a request waits for half a millisecond instead of the whole turn. All callers pause together: work that
// several goroutines do is one piece of work to requests.
//
// A pause is a sleep, since Go looks for what came over the network when nothing is to be run, and then a step to the end of the queue
// of what is to be run, so that all that came goes first.
type Yielder struct {
	active func() bool
	start  time.Time
	paused atomic.Int64 // when the last pause ended, since start
}

const (
	slice = 500 * time.Microsecond
	pause = 500 * time.Microsecond
)

// NewYielder returns a Yielder that pauses while active returns true; it is asked when a pause is due.
func NewYielder(active func() bool) *Yielder { return &Yielder{active: active, start: time.Now()} }

// Yield pauses if it is time to. It may be called from any goroutine, and often.
func (y *Yielder) Yield() {
	if time.Since(y.start)-time.Duration(y.paused.Load()) < slice || !y.active() {
		return
	}
	time.Sleep(pause)
	runtime.Gosched()
	y.paused.Store(int64(time.Since(y.start)))
}
