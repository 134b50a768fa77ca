package http1

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// Whether a request that got no answer was read by the endpoint.
//
// Connections are closed while a request is on its way to them: by a server
// that had them idle for long enough, or that ends. Such a request is to be
// sent again, and a client that was promised a shop is not to see a 502. But a
// server that was killed over its work looks alike, and a POST it has worked
// on must not be done twice (RFC 9110 9.2.2). What tells them apart:
//
//   - The request was not sent to its end. Then nobody has read its end.
//   - The endpoint ends with FIN. A FIN acknowledges what arrived before it.
//     If that is nothing of the request, the endpoint had ended before it
//     came. If it is some of it, the endpoint may have read it.
//   - The endpoint ends with RST, which says nothing about what arrived. A
//     socket is reset when it is closed with bytes in it that nobody has read,
//     when bytes come after it was closed, or because the program wants it so
//     (SO_LINGER 0). A program that has read a request and dies ends with FIN.
//     So a reset of a kept connection, soon after the request was written,
//     means that it was closed while idle. Later, or on a new connection, it
//     may mean anything: a node that comes up again resets what it forgot.

// resetSoon is how long after a request a reset is taken for the end of an
// idle connection.
const resetSoon = time.Second

// unread reports whether it is known that the endpoint has not read the whole
// request that ended with err. It is called while the connection is open.
func (x *clientExchange) unread(err error) bool {
	reset := errors.Is(err, syscall.ECONNRESET)
	switch {
	case !x.sent:
		return true
	case x.received || isTimeout(err):
		return false
	case errors.Is(err, errTimedOutIdle):
		return true
	case !reset && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EPIPE):
		return false
	case x.sender != nil && !x.sender.last.Load():
		return true
	case reset:
		return x.reused && now()-x.begun < int64(resetSoon)
	}
	return x.conn.wire.unacknowledged() >= x.wrote()
}

// wrote is how many bytes of the request the connection was given.
func (x *clientExchange) wrote() int64 {
	if x.sender != nil {
		return x.sender.wrote.Load()
	}
	return int64(len(x.out))
}

// unacknowledged is how many bytes written to the socket the peer has not
// acknowledged, -1 if that is not known.
func (w *wire) unacknowledged() (n int64) {
	n = -1
	if w.peer != nil {
		_ = w.peer.Control(func(fd uintptr) { n = unacknowledged(fd) })
	}
	return n
}
