package proxy

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// LineLog is an AccessLog that writes lines to Lines.
type LineLog struct {
	*Lines
	render func([]byte, *Record) []byte
}

// Lines gathers lines and writes them together, at the latest after a while. Whoever has something to log never waits for the reader of
// the log. One goroutine at a time writes; what comes meanwhile is gathered, up to lineBound, and lines beyond that are dropped and
// counted.
type Lines struct {
	out     io.Writer
	after   time.Duration // how long a line may wait for others; 0 writes it at once
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

// NewLineLog returns a LineLog that writes to out, at the latest after half a second. Flush it at the end.
func NewLineLog(out io.Writer, f Format) *LineLog {
	l := &LineLog{Lines: &Lines{out: out, after: flushAfter, buf: make([]byte, 0, flushSize+4<<10)}, render: appendJSONRecord}
	if f == Nginx {
		l.render = appendNginxRecord
	}
	return l
}

// NewLines returns Lines that are written to out as soon as they come. Flush them at the end.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Dropped is how many lines were dropped because their reader was too slow.
func (l *Lines) Dropped() uint64 { return l.dropped.Load() }

// Log implements AccessLog.
func (l *LineLog) Log(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hasRoom() {
		l.buf = l.render(l.buf, r)
		l.added()
	}
}

// Write takes one line, or drops it. It never fails, and never waits for out.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hasRoom() {
		l.buf = append(l.buf, line...)
		l.added()
	}
	return len(line), nil
}

// hasRoom reports whether a line may be added, and counts one that may not.
func (l *Lines) hasRoom() bool {
	if len(l.buf) >= lineBound {
		l.dropped.Add(1)
		return false
	}
	return true
}

// added has a line that was added written: now, later, or by whoever writes.
func (l *Lines) added() {
	switch {
	case l.writing != nil:
	case len(l.buf) >= l.enough():
		l.begin()
	default:
		l.later()
	}
}

// enough is how many bytes are written without waiting for more.
func (l *Lines) enough() int {
	if l.after == 0 {
		return 1
	}
	return flushSize
}

// later has the lines written when their time is over.
func (l *Lines) later() {
	if l.timed {
		return
	}
	l.timed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(l.after, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.timed = false
			l.begin()
		})
		return
	}
	l.timer.Reset(l.after)
}

// begin starts the writing of what was gathered, unless that is under way.
func (l *Lines) begin() {
	if l.writing == nil && len(l.buf) > 0 {
		l.writing = make(chan struct{})
		go l.write()
	}
}

// write writes what was gathered, and again while that fills a whole write meanwhile.
func (l *Lines) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for again := true; again; again = len(l.buf) >= l.enough() {
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
func (l *Lines) Flush(ctx context.Context) error {
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
