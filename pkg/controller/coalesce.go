package controller

import (
	"context"
	"time"
)

// coalescer decides when the next turn starts. A change that comes after a pause is taken at once: one edit is live in
// milliseconds. Changes that follow closely on a turn are a burst (a rolling update, a helm release) and wait until nothing came
// for quiet, but never longer than max, so that a stream of changes without end still goes live.
//
//	change    x                x x x   x
//	turn      ^ at once          quiet ^      (or max after the first that waits)
type coalescer struct {
	quiet, max time.Duration
	last       time.Time // end of the last turn; zero before the first
}

// next returns when it is time for a turn, or with the context's error.
func (c *coalescer) next(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	}
	if c.last.IsZero() || time.Since(c.last) >= c.quiet {
		return nil
	}
	return c.settle(ctx, changed)
}

func (c *coalescer) settle(ctx context.Context, changed <-chan struct{}) error {
	deadline := time.NewTimer(c.max)
	defer deadline.Stop()
	quiet := time.NewTimer(c.quiet)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			quiet.Reset(c.quiet)
		case <-quiet.C:
			return nil
		case <-deadline.C:
			return nil
		}
	}
}

// done marks the end of a turn.
func (c *coalescer) done() { c.last = time.Now() }
