package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// patience ends with a client that neither sends the body it announced nor takes the answer it asked for, as http1's time limits do
// for HTTP/1.1. x/net/http2 has limits for a whole connection only: a client that leaves its windows at zero would hold a stream, and
// with it an endpoint's connection, for as long as it likes.
type patience struct {
	http.ResponseWriter
	limits  *Limits
	writing *time.Timer

	mu   sync.Mutex
	over bool // the handler has returned, and the ResponseWriter must not be touched
}

// newPatience returns what the handler is to use instead of w and r.Body.
func newPatience(w http.ResponseWriter, r *http.Request, l *Limits) *patience {
	p := &patience{ResponseWriter: w, limits: l}
	// A gRPC client may be silent on its stream for hours; the endpoint's read timeout is what ends that.
	if r.ContentLength != 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		r.Body = &patientBody{ReadCloser: r.Body, patience: p}
	}
	return p
}

// end is for when the handler has returned.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.writing != nil {
		p.writing.Stop()
	}
}

// Write implements http.ResponseWriter.
func (p *patience) Write(b []byte) (int, error) {
	p.wait()
	n, err := p.ResponseWriter.Write(b)
	p.writing.Stop()
	return n, err
}

// FlushError is what http.ResponseController looks for.
func (p *patience) FlushError() error {
	p.wait()
	err := http.NewResponseController(p.ResponseWriter).Flush()
	p.writing.Stop()
	return err
}

// Unwrap is what http.ResponseController looks for.
func (p *patience) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patience) wait() {
	if p.writing == nil {
		p.writing = time.AfterFunc(p.limits.WriteIdle, p.stopWriting)
		return
	}
	p.writing.Reset(p.limits.WriteIdle)
}

// stopWriting resets the stream: a write that is under way fails.
func (p *patience) stopWriting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(past())
	}
}

// stopReading makes a read that is under way fail.
func (p *patience) stopReading() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		_ = http.NewResponseController(p.ResponseWriter).SetReadDeadline(past())
	}
}

func past() time.Time { return time.Unix(1, 0) }

// patientBody is a request body whose bytes must keep coming. One goroutine reads it at a time.
type patientBody struct {
	io.ReadCloser
	patience *patience
	reading  *time.Timer
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	if b.reading == nil {
		b.reading = time.AfterFunc(b.patience.limits.BodyIdle, b.patience.stopReading)
	} else {
		b.reading.Reset(b.patience.limits.BodyIdle)
	}
	n, err := b.ReadCloser.Read(p)
	b.reading.Stop()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &http1.BodyError{Status: http.StatusRequestTimeout, Reason: "body-timeout", Err: err}
	}
	return n, err
}
