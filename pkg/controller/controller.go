// Package controller is the loop at the heart of Usher, and the place to start reading: it turns what a source has read into the
// Table that the data plane uses, again and again, and does nothing else.
//
// One turn of the loop, in this order:
//
//  1. read the Snapshot
//  2. resolve it to a Table
//  3. prepare the data plane for it, so that what both Tables name is never given up in between
//  4. swap the one pointer
//  5. publish it: the data plane gives up what only the last Table named, status and Events are written, and so on
//
// Nothing here knows Kubernetes' client, HTTP or metrics: the parts are handed over as small interfaces and functions. The loop is
// the only writer of route.Live. It survives a panic of the resolver: the failure is reported, and the same Snapshot resolved again
// from nothing; if that fails too, the last Table goes on serving.
package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/route"
)

// Source reads Kubernetes objects, from a cluster or a folder.
type Source interface {
	// Run feeds the source until ctx ends; then it returns nil. An error is one that waiting does not mend.
	Run(ctx context.Context) error
	// Changed has capacity 1: a value says that Snapshot would return something new.
	Changed() <-chan struct{}
	// Snapshot is what has been read so far; false until all of it has been read once. Changes and Since count from the last call.
	Snapshot() (*object.Snapshot, bool)
}

// Resolver makes a Table of a Snapshot; *resolve.Resolver is one. The Table is the caller's to number until it is live. One that
// panics begins from nothing at the next call.
type Resolver interface {
	Resolve(s *object.Snapshot, now time.Time) *route.Table
}

// Observer hears how each turn went, for logs and metrics. It must not block.
type Observer interface {
	Swapped(Swap)
	// Failed tells of a turn that gave no Table; the last one goes on serving.
	Failed(error)
}

// Swap is what a turn did.
type Swap struct {
	Generation uint64
	Changes    int           // objects that changed; -1 when everything was compared, as in the first turn
	Resolve    time.Duration // snapshot and resolve
	Swap       time.Duration // prepare and swap
	// Live is the time from the oldest change of the turn (see object.Snapshot.Since) to the swap; 0 if unknown.
	Live        time.Duration
	Diagnostics map[Diagnosed]int // how many of each; those that are gone are absent
}

// Diagnosed is a kind of Diagnostic, for counting.
type Diagnosed struct{ Reason, Severity string }

// Options are the parts of the loop and its pace. Source, Resolver and Live are required.
type Options struct {
	Source   Source
	Resolver Resolver
	Live     *route.Live
	// Prepare is called with each Table before it is swapped in. May be nil.
	Prepare func(*route.Table)
	// Publish is called with each Table when it is live; it must not block. May be nil. There is no count of who still uses the last
	// one: a request that does holds its own connection.
	Publish  func(*route.Table)
	Observer Observer // may be nil

	// Weight is what resolving a change costs, in paths, so that no namespace takes all of the loop's time. nil throttles nobody.
	Weight func(*object.Snapshot, object.Change) int

	Quiet time.Duration // a burst is over when nothing came for so long; 25 ms if zero
	Max   time.Duration // the longest a change waits for its burst to end, where turns are expensive; 150 ms if zero
}

// Controller is the loop.
type Controller struct {
	options Options
	pace    coalescer
	fair    throttle
	number  uint64
	resync  bool // the last turn failed: its changes were not applied, so compare everything
	ready   chan struct{}
	once    sync.Once
}

// New makes a loop; Run starts it.
func New(o Options) *Controller {
	o.Quiet = orElse(o.Quiet, 25*time.Millisecond)
	o.Max = orElse(o.Max, 150*time.Millisecond)
	return &Controller{
		options: o,
		pace:    coalescer{quiet: o.Quiet, max: o.Max},
		fair:    newThrottle(o.Weight),
		ready:   make(chan struct{}),
	}
}

func orElse(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

// Ready is closed when the first full Table is live.
func (c *Controller) Ready() <-chan struct{} { return c.ready }

// Run runs the source and the loop until ctx ends or the source fails; both have stopped when it returns. The last Table stays
// live, for requests that are still to be drained.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- c.options.Source.Run(ctx)
	}()
	c.loop(ctx)
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

func (c *Controller) loop(ctx context.Context) {
	for c.pace.next(ctx, c.options.Source.Changed(), c.due()) == nil {
		began := time.Now()
		c.turn()
		c.pace.done(began)
	}
}

// due fires when a change that the throttle holds may be resolved; nil if it holds none.
func (c *Controller) due() <-chan time.Time {
	wait, held := c.fair.wait(time.Now())
	if !held {
		return nil
	}
	return time.After(wait)
}

// turn applies what has changed: all five steps.
func (c *Controller) turn() {
	start := time.Now()
	snapshot, ok := c.options.Source.Snapshot()
	if !ok {
		return
	}
	if c.resync {
		snapshot.Changes = nil
	}
	if !c.fair.pass(snapshot, start) {
		return
	}
	table, err := c.resolve(snapshot, start)
	if err != nil { // the resolver has forgotten everything: once more from nothing, so that this change is not lost
		c.failed(err)
		snapshot.Changes = nil
		table, err = c.resolve(snapshot, start)
	}
	if c.resync = err != nil; c.resync {
		c.failed(err)
		return
	}
	if table == c.options.Live.Load() {
		return // nothing that matters changed
	}
	c.number++
	table.Generation = c.number
	resolved := time.Now()
	if c.options.Prepare != nil {
		c.options.Prepare(table)
	}
	c.options.Live.Swap(table)
	c.once.Do(func() { close(c.ready) })
	c.report(snapshot, table, start, resolved)
	if c.options.Publish != nil {
		c.options.Publish(table)
	}
}

// resolve calls the resolver and turns its panic into an error.
func (c *Controller) resolve(s *object.Snapshot, now time.Time) (table *route.Table, err error) {
	defer func() {
		if r := recover(); r != nil {
			table, err = nil, fmt.Errorf("resolving generation %d: panic: %v\n%s", c.number+1, r, debug.Stack())
		}
	}()
	table = c.options.Resolver.Resolve(s, now)
	if table == nil {
		return nil, fmt.Errorf("resolving generation %d: the resolver returned no table", c.number+1)
	}
	return table, nil
}

func (c *Controller) failed(err error) {
	if c.options.Observer != nil {
		c.options.Observer.Failed(err)
	}
}

func (c *Controller) report(s *object.Snapshot, t *route.Table, start, resolved time.Time) {
	if c.options.Observer == nil {
		return
	}
	now := time.Now()
	swap := Swap{Generation: t.Generation, Changes: len(s.Changes), Resolve: resolved.Sub(start), Swap: now.Sub(resolved), Diagnostics: map[Diagnosed]int{}}
	if s.Changes == nil {
		swap.Changes = -1
	}
	if !s.Since.IsZero() {
		swap.Live = now.Sub(s.Since)
	}
	for _, d := range t.Diagnostics {
		swap.Diagnostics[Diagnosed{string(d.Reason), string(d.Severity)}]++
	}
	c.options.Observer.Swapped(swap)
}
