package proxy

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// LineLog is an AccessLog that writes lines. They are gathered and written together, at the latest after flushAfter.
//
// A request never waits for the reader of the log. One goroutine at a time writes; what comes meanwhile is gathered, up to lineBound,
// and lines beyond that are dropped and counted.
type LineLog struct {
	out     io.Writer
	render  func([]byte, *Record) []byte
	dropped atomic.Uint64

	mu      sync.Mutex
	buf     []byte        // lines that nobody writes yet
	spare   []byte        // what was written last, to be used again
	writing chan struct{} // closed when the one who writes is done; nil when nobody does
	err     error         // of the last write
	timer   *time.Timer
	timed   bool // the timer runs
}

const (
	flushAfter = 500 * time.Millisecond
	flushSize  = 64 << 10
	lineBound  = 4 << 20 // bytes of lines that wait, give or take one line
)

// NewLineLog returns a LineLog that writes to out. Flush it at the end.
func NewLineLog(out io.Writer, f Format) *LineLog {
	l := &LineLog{out: out, render: appendJSONRecord, buf: make([]byte, 0, flushSize+4<<10)}
	if f == Nginx {
		l.render = appendNginxRecord
	}
	return l
}

// Dropped is how many lines were dropped because their reader was too slow.
func (l *LineLog) Dropped() uint64 { return l.dropped.Load() }

// Log implements AccessLog.
func (l *LineLog) Log(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) >= lineBound {
		l.dropped.Add(1)
		return
	}
	l.buf = l.render(l.buf, r)
	if l.writing != nil {
		return // whoever writes will see to it
	}
	if len(l.buf) >= flushSize {
		l.begin()
		return
	}
	l.later()
}

// later has the lines written when flushAfter is over.
func (l *LineLog) later() {
	if l.timed {
		return
	}
	l.timed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(flushAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.timed = false
			l.begin()
		})
		return
	}
	l.timer.Reset(flushAfter)
}

// begin starts the writing of what was gathered, unless that is under way.
func (l *LineLog) begin() {
	if l.writing == nil && len(l.buf) > 0 {
		l.writing = make(chan struct{})
		go l.write()
	}
}

// write writes what was gathered, and again while that fills a whole write meanwhile.
func (l *LineLog) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for again := true; again; again = len(l.buf) >= flushSize {
		lines := l.buf
		l.buf, l.spare = l.spare, nil
		l.mu.Unlock()
		_, err := l.out.Write(lines)
		l.mu.Lock()
		l.err = err
		if cap(lines) <= 4*flushSize { // what a stalled reader made large is given back
			l.spare = lines[:0]
		}
	}
	close(l.writing)
	l.writing = nil
	if len(l.buf) > 0 {
		l.later()
	}
}

// Flush writes what was gathered so far, or as much as the reader takes until ctx ends.
func (l *LineLog) Flush(ctx context.Context) error {
	for {
		l.mu.Lock()
		l.begin()
		writing, err := l.writing, l.err
		l.mu.Unlock()
		if writing == nil {
			return err
		}
		select {
		case <-writing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
