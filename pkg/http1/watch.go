package http1

import (
	"context"
	"sync/atomic"
	"time"
)

// Noticing that a client left while its request waits for an answer.
//
// Only a read shows it, and a reading goroutine for every request is what
// much of net/http's cost comes from. So a timer of the connection looks
// whether one request is being handled for longer than watchPeriod; only then
// a goroutine waits on the socket, peeking, so that no byte is taken from the
// next request. A busy connection leaves its timer running from request to
// request; it is started at most once in watchPeriod.
//
// The request's body must have been read to its end: until then the handler
// reads, and notices by itself.

const watchPeriod = 40 * time.Millisecond

type watch struct {
	conn  *serverConn
	timer *time.Timer
	armed atomic.Bool
	// turn counts requests in its upper bits; the lowest say whether one is
	// being handled (watchRunning) and a goroutine waits (watchWaiting).
	turn atomic.Uint64
	last uint64 // what turn was when the timer fired before; the timer's own
	done chan struct{}
}

const (
	watchRunning = 1
	watchWaiting = 2
	watchTurn    = 4
)

// begin notes that a request is being handled.
func (w *watch) begin() {
	w.turn.Store(w.turn.Load()&^(watchTurn-1) + watchTurn + watchRunning)
	if w.conn.wire.peer == nil || w.armed.Load() {
		return
	}
	w.armed.Store(true)
	if w.timer == nil {
		// Started by Reset, which orders this assignment before look.
		w.timer = time.AfterFunc(time.Hour, w.look)
	}
	w.timer.Reset(watchPeriod)
}

// end notes that it was handled; afterwards nobody waits on the socket.
func (w *watch) end() {
	for {
		turn := w.turn.Load()
		if w.turn.CompareAndSwap(turn, turn&^(watchTurn-1)) {
			if turn&watchWaiting != 0 {
				w.conn.wire.interruptRead()
				<-w.done
				w.conn.wire.resume()
			}
			return
		}
	}
}

// look runs when the timer fires.
func (w *watch) look() {
	turn := w.turn.Load()
	switch {
	case turn&watchRunning == 0 && turn == w.last:
		// A whole period without a request: sleep until the next one.
		w.armed.Store(false)
		if w.turn.Load() == turn || w.armed.Swap(true) {
			return
		}
	case turn&watchRunning != 0 && turn == w.last && w.conn.bodyDone.Load():
		done := make(chan struct{})
		w.done = done
		if w.turn.CompareAndSwap(turn, turn|watchWaiting) {
			w.armed.Store(false)
			w.wait(done)
			return
		}
	}
	w.last = turn
	w.timer.Reset(watchPeriod)
}

// wait blocks until the client is gone or end interrupts. It runs on the
// timer's goroutine.
func (w *watch) wait(done chan struct{}) {
	defer close(done)
	wire := &w.conn.wire
	gone := false
	peek := func(fd uintptr) bool {
		switch look(fd) {
		case socketGone:
			gone = true
		case socketReady:
			// The next request, pipelined; or, under TLS, the alert
			// that says goodbye, followed by FIN.
			gone = wire.raw == nil && finReceived(fd)
		}
		return gone
	}
	err := wire.peer.Read(peek)
	for isTimeout(err) && !wire.ownRead.Load() && !wire.stop.Load() {
		// A deadline left over from an earlier read. If end interrupts
		// before the next line, stop says so.
		_ = wire.conn.SetReadDeadline(time.Time{})
		if wire.stop.Load() {
			return
		}
		err = wire.peer.Read(peek)
	}
	if gone || err != nil && !isTimeout(err) {
		w.conn.cancel(context.Canceled)
	}
}
