package http1

import (
	"crypto/tls"
	"io"
	"math"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// epoch is what this package counts nanoseconds from; never written.
var epoch = time.Now()

// never is the limit of a read or write that may take for ever.
const never = int64(math.MaxInt64)

func now() int64 { return int64(time.Since(epoch)) }

// lookAgain is when a reader that asked first reads the socket without having
// been told to.
const lookAgain = int64(200 * time.Millisecond)

func timeOf(t int64) time.Time {
	if t == never {
		return time.Time{}
	}
	return epoch.Add(time.Duration(t))
}

// after returns the limit that lies d from t on; d <= 0 is no limit.
func after(t int64, d time.Duration) int64 {
	if d <= 0 {
		return never
	}
	return t + int64(d)
}

// past is a deadline that has passed: setting it wakes whoever waits.
var past = time.Unix(1, 0)

// wire is one socket with deadlines that are set as seldom as possible.
//
// Setting a deadline costs more than parsing a head, so a read deadline that
// is already set is left alone while it is earlier than the wanted one: when
// it fires, the wanted one is looked at again and the read goes on. Write
// deadlines cannot be resumed that way (a TLS record would be torn), so they
// are set an eighth to a quarter later than wanted, and only when less than
// the wanted time is left. A limit is therefore never missed; one of a client
// may fire late, see spread.
type wire struct {
	conn net.Conn
	raw  syscall.RawConn // of a plain socket, else nil
	peer syscall.RawConn // of the socket below conn, for peeking only; may be nil
	// below is what conn, TLS, reads from, if reads can wait there; see sock.Conn.Attempt.
	below *sock.Conn

	readSet  int64 // the deadline set on conn; 0 none
	writeSet int64
	late     int64 // in 1/256 of the most; see spread
	// The handler set a deadline by itself (http.ResponseController).
	ownRead, ownWrite atomic.Bool
	// stop interrupts whoever reads or writes; see interrupt.
	stop atomic.Bool

	// Arguments and results of tryRead. One reader at a time.
	tryFn       func(uintptr) bool
	p           []byte
	n           int
	err         error
	beforeBlock func() error
	first       func() error

	// The descriptor, while a callback runs that may write.
	fd     uintptr
	inside bool
	// Argument and result of glance.
	lookFn func(uintptr)
	found  sock.State
}

// open must be called before anything else; w must not move afterwards.
func (w *wire) open(c net.Conn) {
	c = sock.Plain(c)
	w.conn, w.raw = c, sock.Raw(c)
	if w.peer = w.raw; w.raw == nil {
		w.peer = sock.Peer(c)
	}
	w.tryFn = w.tryRead
	if w.below = sock.Below(c); w.below != nil {
		w.tryFn = w.tryCoded
	}
}

// interrupt makes reads and writes in progress, and later ones, fail at once.
func (w *wire) interrupt() {
	w.stop.Store(true)
	_ = w.conn.SetDeadline(past)
}

// sever ends the connection for both ends without waiting for whoever uses it
// here, as net.Conn.Close would; that one still has to close it.
func (w *wire) sever() {
	w.interrupt()
	if w.peer != nil {
		_ = w.peer.Control(sock.Shutdown)
	}
}

// interruptRead wakes a reader only.
func (w *wire) interruptRead() {
	w.stop.Store(true)
	_ = w.conn.SetReadDeadline(past)
}

// resume undoes interruptRead once the reader is known to be gone.
func (w *wire) resume() {
	w.stop.Store(false)
	w.setRead(never)
}

func (w *wire) setRead(limit int64) {
	_ = w.conn.SetReadDeadline(timeOf(w.spread(limit)))
	w.readSet = limit
	if limit == never {
		w.readSet = 0
	}
}

// spread is a time up to an eighth of the wait later than limit, on a client's
// connection and the same share for its whole life. Clients that came together would
// otherwise be late together, and whoever asks for something has to wait while
// thousands of them are ended.
func (w *wire) spread(limit int64) int64 {
	if w.late == 0 || limit == never {
		return limit
	}
	return limit + max(0, limit-now())>>3*w.late>>8
}

// armRead makes sure that a deadline for limit is set, or an earlier one.
func (w *wire) armRead(limit int64) {
	if w.ownRead.Load() || limit == never && w.readSet == 0 {
		return
	}
	if w.readSet == 0 || limit < w.readSet {
		w.setRead(limit)
	}
}

// fired decides about a read that failed: true means that the deadline was
// an old, earlier one and the read should be repeated.
func (w *wire) fired(err error, limit int64) bool {
	if w.ownRead.Load() || !isTimeout(err) || w.stop.Load() {
		return false
	}
	if now() >= limit {
		return false
	}
	w.setRead(limit)
	return true
}

// read reads what there is, waiting until limit at most. Before it waits it
// calls beforeBlock, once, if that is not nil and the socket is a plain one
// (elsewhere it cannot be known, and beforeBlock is called first). An error
// of beforeBlock ends the read.
func (w *wire) read(p []byte, limit int64, beforeBlock func() error) (int, error) {
	if w.raw == nil && beforeBlock != nil && w.quiet() {
		if err := beforeBlock(); err != nil {
			return 0, err
		}
	}
	w.beforeBlock = beforeBlock
	for {
		w.armRead(limit)
		if w.stop.Load() {
			return 0, errInterrupted
		}
		n, err := w.readOnce(p)
		if n > 0 || err == nil || !w.fired(err, limit) {
			if err != nil && w.stop.Load() {
				err = errInterrupted
			}
			return n, err
		}
	}
}

// ask writes a question by calling say, and reads what there is of the answer,
// waiting until limit at most; from is about now. On a plain socket the write
// happens within the read: the poller then notices whatever arrives after it,
// and the usual read that finds nothing, before parking, is not needed.
func (w *wire) ask(say func() error, p []byte, from, limit int64) (int, error) {
	if w.raw == nil {
		if err := say(); err != nil {
			return 0, err
		}
		return w.read(p, limit, nil)
	}
	w.first = say
	w.armRead(min(limit, from+lookAgain))
	n, err := w.read(p, limit, nil)
	if w.first != nil { // the read failed before it began
		w.first = nil
	}
	return n, err
}

func (w *wire) readOnce(p []byte) (int, error) {
	raw := w.raw
	if w.below != nil {
		raw = w.below.Raw()
	}
	if raw == nil {
		return w.conn.Read(p)
	}
	w.p = p
	err := raw.Read(w.tryFn)
	w.p = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// tryRead is what RawConn.Read calls: it reads without blocking, and returns
// false to wait until there is something.
func (w *wire) tryRead(fd uintptr) bool {
	if f := w.first; f != nil {
		w.first = nil
		w.fd, w.inside = fd, true
		w.n, w.err = 0, f()
		w.inside = false
		return w.err != nil
	}
	for {
		n, err := sock.Read(fd, w.p)
		if err == nil {
			w.n, w.err = n, nil
			if n == 0 && len(w.p) > 0 {
				w.err = io.EOF
			}
			return true
		}
		if !sock.WouldBlock(err) {
			w.n, w.err = 0, &net.OpError{Op: "read", Net: "tcp", Addr: w.conn.RemoteAddr(), Err: err}
			return true
		}
		if w.beforeBlock == nil {
			return false
		}
		f := w.beforeBlock
		w.beforeBlock = nil
		if err := f(); err != nil {
			w.n, w.err = 0, err
			return true
		}
	}
}

// tryCoded is tryRead where TLS is above the socket.
func (w *wire) tryCoded(fd uintptr) bool {
	w.n, w.err = w.below.Attempt(fd, w.conn, w.p)
	if w.n > 0 {
		w.err = nil // it comes again
	}
	return w.err == nil || !sock.WouldBlock(w.err)
}

// armWrite makes sure that a write started now has at least d, and that the
// deadline is not more than a quarter later than that.
func (w *wire) armWrite(d time.Duration) {
	if w.ownWrite.Load() {
		return
	}
	if d <= 0 {
		if w.writeSet != 0 {
			_ = w.conn.SetWriteDeadline(time.Time{})
			w.writeSet = 0
		}
		return
	}
	wanted := now() + int64(d)
	if slack := int64(d / 4); w.writeSet < wanted || w.writeSet > wanted+slack {
		w.writeSet = wanted + slack/2 + slack/2>>8*w.late
		_ = w.conn.SetWriteDeadline(timeOf(w.writeSet))
	}
}

// Pieces in which large writes go out, each with the whole write timeout.
const writePiece = 32 << 10

// write writes all of p; idle is how long it may make no progress. Within a
// callback of the socket's RawConn what the socket takes at once goes to it
// directly, without deadlines and locks.
func (w *wire) write(p []byte, idle time.Duration) (written int, err error) {
	if w.inside {
		if written, err = sock.Write(w.fd, p); err != nil && !sock.WouldBlock(err) {
			return written, &net.OpError{Op: "write", Net: "tcp", Addr: w.conn.RemoteAddr(), Err: err}
		}
		p = p[written:]
	}
	for len(p) > 0 {
		w.armWrite(idle)
		if w.stop.Load() {
			return written, errInterrupted
		}
		piece := p[:min(len(p), writePiece)]
		n, err := w.conn.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// closeWrite tells the peer that nothing more comes.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		err := half.CloseWrite()
		if t, ok := c.(*tls.Conn); ok {
			// After close_notify the socket below says so as well.
			_ = closeWrite(t.NetConn())
		}
		return err
	}
	return nil
}

// breakOff makes the coming Close show the peer an error, not an end. It does
// not close: within ready that would wait for itself.
func (w *wire) breakOff() {
	if t, ok := w.conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}

// wait lets try read from a plain socket, waiting for idle at most.
func (w *wire) wait(try func(uintptr) bool, idle time.Duration) error {
	return w.waitUntil(try, after(now(), idle))
}

func (w *wire) waitUntil(try func(uintptr) bool, limit int64) error {
	for {
		w.armRead(limit)
		if w.stop.Load() {
			return errInterrupted
		}
		err := w.raw.Read(try)
		if err == nil || !w.fired(err, limit) {
			if err != nil && w.stop.Load() {
				err = errInterrupted
			}
			return err
		}
	}
}

// state looks at the socket without reading from it and without waiting.
func (w *wire) state() (s sock.State) {
	if w.peer == nil {
		return sock.Quiet
	}
	if err := w.peer.Control(func(fd uintptr) { s = sock.Look(fd) }); err != nil {
		return sock.Gone
	}
	return s
}

// glance is state for one goroutine at a time, without an allocation.
func (w *wire) glance() sock.State {
	if w.peer == nil {
		return sock.Quiet
	}
	if w.lookFn == nil {
		w.lookFn = func(fd uintptr) { w.found = sock.Look(fd) }
	}
	if err := w.peer.Control(w.lookFn); err != nil {
		return sock.Gone
	}
	return w.found
}

// quiet reports whether a read would probably wait.
func (w *wire) quiet() bool { return w.glance() == sock.Quiet }
