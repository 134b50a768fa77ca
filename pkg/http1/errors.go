package http1

import (
	"errors"
	"os"

	"github.com/usher-ingress/usher/pkg/field"
)

// ProtocolError says why received bytes are not the message they should be,
// and which status answers them.
type ProtocolError = field.ProtocolError

func refusal(status int, reason, format string, args ...any) *ProtocolError {
	return field.Refuse(status, reason, format, args...)
}

func malformed(reason, format string, args ...any) *ProtocolError {
	return refusal(400, reason, format, args...)
}

// BodyError is what reading a request body returns when the client broke it:
// a bad chunk, an end before the announced length, or silence for longer than
// the body timeout. It is the client's fault; answer Status (400, 408 or 431)
// and never a 502. The connection closes after the answer.
type BodyError struct {
	Status int
	Reason string // as in ProtocolError; "short-body" and "body-timeout" besides
	Err    error
}

// Error describes what is wrong with the body.
func (e *BodyError) Error() string { return "request body: " + e.Err.Error() }

// Unwrap returns the cause: a *ProtocolError or the error of the connection.
func (e *BodyError) Unwrap() error { return e.Err }

// Error is what a [Transport] returns. Whether a request may be tried again
// elsewhere is decided on Sent and Received.
type Error struct {
	// Op is the step that failed: "request" (it cannot be written as HTTP),
	// "limit" (MaxConns), "dial", "write", "request body" (the client's
	// fault: Err wraps what the body returned), "read head", "malformed"
	// (the response), "read body", "canceled" (the context).
	Op string
	// Sent: bytes of the request may have reached the peer.
	Sent bool
	// Received: at least one byte came back.
	Received bool
	// Reused: the connection had served a request before. Together with
	// !Received it most often means that the peer closed it while idle.
	Reused bool
	// Unread: it is certain that the peer has read nothing of the request, so
	// that sending it again does nothing twice, whatever its method. See
	// unread.go.
	Unread bool
	Err    error
}

// Error names the step and the cause.
func (e *Error) Error() string { return "upstream " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether a time limit ended the request.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

// ErrClosed is returned for a request given to a closed [Transport].
var ErrClosed = errors.New("http1: transport closed")

// ErrTooManyConns is returned when MaxConns connections are in use.
var ErrTooManyConns = errors.New("http1: too many connections to the endpoint")

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("http1: server closed")

var errAborted = errors.New("http1: the source of the response failed")

var errInterrupted = errors.New("http1: interrupted")

var errTimedOutIdle = errors.New("the kept connection was closed with 408")

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
