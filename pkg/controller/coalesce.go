package controller

import (
	"context"
	"time"
)

// coalescer decides when the next turn starts. A change that comes after a pause is taken at once: one edit is live in
// milliseconds. Changes that follow closely on a turn are a burst (a rolling update, a helm release) and wait until nothing came
// for quiet, but not for ever, so that a stream of changes without end goes live too: for share times as long as the last turn took,
// at least for quiet and at most for max. Turns then take a tenth of one processor, and where they are cheap nobody waits for them.
//
//	change    x                x x x   x
//	turn      ^ at once          quiet ^      (or patience after the first that waits)
type coalescer struct {
	quiet, max time.Duration
	last       time.Time     // end of the last turn; zero before the first
	cost       time.Duration // of the last turn
}

const share = 10

// next returns when it is time for a turn, which it is when due fires, or with the context's error.
func (c *coalescer) next(ctx context.Context, changed <-chan struct{}, due <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-due:
		return nil
	case <-changed:
	}
	if c.last.IsZero() || time.Since(c.last) >= c.quiet {
		return nil
	}
	return c.settle(ctx, changed)
}

func (c *coalescer) settle(ctx context.Context, changed <-chan struct{}) error {
	deadline := time.NewTimer(c.patience())
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

// patience is how long a change waits for its burst to end.
func (c *coalescer) patience() time.Duration { return min(max(share*c.cost, c.quiet), c.max) }

// done marks the end of a turn.
func (c *coalescer) done(began time.Time) {
	c.last = time.Now()
	c.cost = c.last.Sub(began)
}
