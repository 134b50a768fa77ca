package http1

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// Noticing that a client left while its request waits for an answer.
//
// Only looking at the socket shows it, and a reading goroutine for every
// request is what much of net/http's cost comes from. So a timer of the
// connection looks whether one request is being handled for longer than
// watchPeriod, and then peeks at the socket, which takes no byte from the
// next request; again after twice the time, up to watchMost. A busy
// connection leaves its timer running from request to request; it is started
// at most once in watchPeriod.
//
// The same timer looks once at a connection that has become idle, see ready.
//
// The request's body must have been read to its end: until then the handler
// reads, and notices by itself.

const (
	watchPeriod = 40 * time.Millisecond
	watchMost   = time.Second
)

type watch struct {
	conn  *serverConn
	timer *time.Timer
	armed atomic.Bool
	slow  atomic.Bool // the timer fires later than watchPeriod from now
	// turn counts requests in its upper bits; the lowest says whether one
	// is being handled.
	turn atomic.Uint64

	// The timer's own (end may make it fire while it is at work): what turn was when it fired before, and when it
	// fires next.
	mu     sync.Mutex
	last   uint64
	period time.Duration
}

const (
	watchRunning = 1
	watchTurn    = 2
)

// begin notes that a request is being handled.
func (w *watch) begin() {
	w.turn.Store(w.turn.Load() + watchTurn | watchRunning)
	if w.armed.Load() || w.conn.wire.peer == nil {
		return
	}
	w.armed.Store(true)
	if w.timer == nil {
		// Started by Reset, which orders this assignment before look.
		w.timer = time.AfterFunc(time.Hour, w.look)
	}
	w.timer.Reset(w.conn.server.watchEvery)
}

// end notes that it was handled.
func (w *watch) end() {
	w.turn.Store(w.turn.Load() &^ watchRunning)
	if w.slow.Load() {
		w.slow.Store(false)
		w.timer.Reset(w.conn.server.watchEvery)
	}
}

// look runs when the timer fires.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	turn := w.turn.Load()
	same := turn == w.last
	w.last = turn
	switch {
	case !same || turn&watchRunning == 0:
		w.period = w.conn.server.watchEvery
	default:
		if w.conn.bodyDone.Load() && w.gone() {
			w.conn.cancel(context.Canceled)
		}
		w.period = min(2*w.period, watchMost)
		w.slow.Store(true)
	}
	if same && turn&watchRunning == 0 {
		// A whole period without a request: sleep until the next one.
		w.kick()
		w.armed.Store(false)
		if w.turn.Load() == turn || w.armed.Swap(true) {
			return
		}
	}
	w.timer.Reset(w.period)
}

// kick makes the connection read if there is something to be read. A reader
// whose time is not up does not mind.
func (w *watch) kick() {
	if w.conn.wire.raw != nil && w.conn.wire.state() != sock.Quiet {
		_ = w.conn.wire.conn.SetReadDeadline(past)
	}
}

// gone looks at the socket.
func (w *watch) gone() (gone bool) {
	_ = w.conn.wire.peer.Control(func(fd uintptr) {
		switch sock.Look(fd) {
		case sock.Gone:
			gone = true
		case sock.Ready:
			// The next request, pipelined; or, under TLS, the alert
			// that says goodbye, followed by FIN.
			gone = w.conn.wire.raw == nil && sock.FINReceived(fd)
		}
	})
	return gone
}
