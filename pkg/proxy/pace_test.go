package proxy

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: a second's worth comes at once, after what is free, and the rest as time goes by.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flushed := 0
		p := &paced{to: io.Discard, flush: func() error { flushed++; return nil }, ctx: t.Context(), rate: 1000, free: 5000}
		begin := time.Now()
		for _, step := range []struct {
			bytes int
			at    time.Duration // when all of it was written
		}{{5000, 0}, {1000, 0}, {1000, 0}, {500, time.Second}, {2500, 3 * time.Second}, {1, 4 * time.Second}} {
			if n, err := p.Write(make([]byte, step.bytes)); n != step.bytes || err != nil {
				t.Fatal(n, err)
			}
			if at := time.Since(begin); at.Round(time.Millisecond) > step.at+time.Second || at.Round(time.Millisecond) < step.at-time.Second {
				t.Errorf("%d bytes more were written after %v, want about %v", step.bytes, at, step.at)
			}
		}
		if flushed < 7 {
			t.Errorf("flushed %d times: each piece is to go out", flushed)
		}
		start := time.Now()
		if _, err := p.Write(make([]byte, 60_000)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 58*time.Second || took > 61*time.Second {
			t.Errorf("a minute's worth took %v", took)
		}
	})
}

// TestPaceEndsWithTheRequest: nobody waits for a client that has left.
func TestPaceEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &paced{to: io.Discard, flush: func() error { return nil }, ctx: ctx, rate: 1}
	cancel()
	if n, err := p.Write(make([]byte, 100)); !errors.Is(err, context.Canceled) || n > 2 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
