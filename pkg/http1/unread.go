package http1

import (
	"errors"
	"io"
	"math"
	"syscall"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// Whether a request that got no answer can have been read by the endpoint.
//
// Connections are closed while a request is on its way to them: by a server
// that had them idle for long enough, or that ends. Such a request is to be
// sent again, and a client that was promised a shop is not to see a 502. But a
// POST that an endpoint may have worked on must not be (RFC 9110 9.2.2). So it
// has to be certain that nothing of the request was read:
//
//   - Nothing was written: the connection was not made, or refused the first
//     byte.
//   - A kept connection ended with FIN, and the kernel knows of not one byte of
//     the request that was acknowledged, while the FIN acknowledges all that
//     came before it. A socket that was closed answers what comes later with
//     RST; one that is half-closed acknowledges it, and may be read.
//
// An RST without a FIN before it is no proof, whatever was acknowledged: the
// kernel holds an acknowledgement back for up to 40 ms, in which a program can
// read the request, do its work, and reset the connection; the
// acknowledgement in the RST itself is not looked at.

// resetWait is how long the RST of an endpoint that has closed is waited for:
// it takes one round trip.
const resetWait = 100 * time.Millisecond

// unread reports whether it is certain that the endpoint has read nothing of
// the request that ended with err. It is called while the connection is open.
func (x *clientExchange) unread(err error) bool {
	switch {
	case !x.sent:
		return true
	case x.received || !connectionEnded(err):
		return false
	case errors.Is(err, errTimedOutIdle):
		return x.unacknowledged()
	case !x.senderOver():
		return false
	case x.wrote() == 0:
		return true
	case x.sender != nil && errors.Is(x.sender.err, syscall.ECONNRESET):
		return false // whatever a read has found after that
	}
	return x.reused && !errors.Is(err, syscall.ECONNRESET) && x.conn.wire.closedBefore(x.wrote())
}

// connectionEnded reports whether err says that the endpoint has ended the
// connection.
func connectionEnded(err error) bool {
	for _, end := range []error{io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET, errTimedOutIdle} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// unacknowledged reports whether the endpoint has acknowledged not one byte of
// the request.
func (x *clientExchange) unacknowledged() bool {
	unacknowledged := x.conn.wire.unacknowledged() // before what was written, which may grow
	return unacknowledged >= x.wrote()
}

// wrote is how many bytes the request is on the connection so far, or will be
// when a write under way has ended.
func (x *clientExchange) wrote() int64 {
	w := &x.conn.wire
	switch {
	case w.below != nil:
		return w.below.Written() - x.before
	case w.raw == nil:
		return math.MaxInt64 // not known
	case x.sender != nil:
		return x.said + x.sender.wrote.Load()
	}
	return x.said
}

// unacknowledged is how many bytes written to the socket the peer has not
// acknowledged, -1 if that is not known.
func (w *wire) unacknowledged() (n int64) {
	n = -1
	if w.peer != nil {
		_ = w.peer.Control(func(fd uintptr) { n = sock.Unacknowledged(fd) })
	}
	return n
}

// closedBefore reports whether the peer had closed its socket before the last
// n bytes written to it came: it has ended with FIN, acknowledged none of them,
// and answered them with RST.
func (w *wire) closedBefore(n int64) (closed bool) {
	if w.peer == nil {
		return false
	}
	_ = w.conn.SetReadDeadline(time.Now().Add(resetWait))
	_ = w.peer.Read(func(fd uintptr) bool {
		reset := sock.ResetReceived(fd) // first: afterwards nothing is acknowledged any more
		acknowledged := sock.Unacknowledged(fd) < n
		closed = reset && !acknowledged && sock.ResetAfterFIN(fd)
		return reset || acknowledged
	})
	return closed
}
