package http2

import (
	"errors"
	"fmt"
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
)
