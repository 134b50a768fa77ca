package http2

import (
	"errors"
	"fmt"
	"net/http"
)

// errCode is an error code of RFC 9113 section 7.
type errCode uint32

const (
	codeNo              errCode = 0x0
	codeProtocol        errCode = 0x1
	codeInternal        errCode = 0x2
	codeFlowControl     errCode = 0x3
	codeStreamClosed    errCode = 0x5
	codeFrameSize       errCode = 0x6
	codeRefusedStream   errCode = 0x7
	codeCancel          errCode = 0x8
	codeCompression     errCode = 0x9
	codeEnhanceYourCalm errCode = 0xb
)

// connError ends the connection with a GOAWAY. kind is the word that is counted.
type connError struct {
	code errCode
	kind string
}

func (e *connError) Error() string {
	return fmt.Sprintf("http2: connection error %d (%s)", e.code, e.kind)
}

func broken(code errCode, kind string) error { return &connError{code, kind} }

// Errors that a handler sees.
var (
	errClientGone    = errors.New("http2: the client is gone")
	errStreamReset   = errors.New("http2: the client reset the stream")
	errStreamAborted = errors.New("http2: the stream was aborted")
	errTooLong       = http.ErrContentLength
)

// BodyError says why a request body cannot be read: by the client's doing.
type BodyError struct {
	Status int    // 400 or 408
	Reason string // "short-body", "body-timeout"
	Err    error
}

// Error names the reason and the cause.
func (e *BodyError) Error() string { return "http2: " + e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }
