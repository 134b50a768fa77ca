package pool

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/usher-ingress/usher/pkg/http1"
)

// Cause is why a request got no (complete) answer.
type Cause uint8

// The causes.
const (
	None        Cause = iota
	Refused           // the connection could not be made
	Denied            // the address is one that may not be reached
	Unresolved        // the endpoint's name has no address
	Timeout           // connecting, sending or waiting took too long
	Reset             // the endpoint closed the connection before its answer was complete
	Malformed         // what came back is not HTTP, or over a limit
	RequestBody       // the client's body could not be read
	BadRequest        // the request cannot be sent as HTTP
	Canceled          // the client went away
	Busy              // no connection may be made now
	Untrusted         // the endpoint's certificate does not pass
	Handshake         // TLS failed for another reason
	BadStatus         // the answer has a status after which another endpoint is tried
)

// Error is a request that failed.
type Error struct {
	Cause Cause
	// Sent: bytes of the request may have reached the endpoint. Received: at least one byte came back. Reused: the connection had
	// served a request before. Unread: it is known that the endpoint has not read the request.
	Sent, Received, Reused, Unread bool
	Err                            error
}

// Unused reports whether the request met a kept connection that the endpoint had closed, or was closing, without an answer. That says
// nothing bad about the endpoint, which has most likely never looked at the request. Only Unread says that it has not.
func (e *Error) Unused() bool { return e.Reused && !e.Received && e.Cause == Reset }

// Error says what happened.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

// CauseOf classifies an error of RoundTrip, or of reading a response's Body. None means that it comes from elsewhere, for example
// from writing what was read.
func CauseOf(err error) Cause {
	var own *Error
	if errors.As(err, &own) {
		return own.Cause
	}
	var e *http1.Error
	if !errors.As(err, &e) {
		return None
	}
	return causeOf(e)
}

func newError(err error) *Error {
	var e *http1.Error
	if !errors.As(err, &e) {
		return &Error{Cause: Reset, Sent: true, Err: err}
	}
	return &Error{Cause: causeOf(e), Sent: e.Sent, Received: e.Received, Reused: e.Reused, Unread: e.Unread, Err: err}
}

func causeOf(e *http1.Error) Cause {
	switch e.Op {
	case "canceled":
		return Canceled
	case "request body":
		return RequestBody
	case "request":
		return BadRequest
	case "malformed":
		return Malformed
	case "limit":
		return Busy
	case "dial":
		return dialCause(e.Err)
	}
	switch {
	case e.Timeout():
		return Timeout
	case isAlert(e.Err):
		return Handshake // TLS 1.3 tells after the handshake that the endpoint does not like our certificate
	}
	return Reset
}

func dialCause(err error) Cause {
	var dns *net.DNSError
	switch {
	case errors.Is(err, errDenied):
		return Denied
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &dns):
		return Unresolved
	}
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return Timeout
	}
	switch {
	case errors.Is(err, errUntrusted):
		return Untrusted
	case errors.Is(err, errHandshake):
		return Handshake
	}
	return Refused
}
