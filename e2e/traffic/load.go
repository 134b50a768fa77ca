//go:build linux

package traffic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long anything may take before it counts as failed: it is there to find what hangs, on however busy a machine.
const patience = 30 * time.Second

// Kind is one kind of request.
type Kind struct {
	Name string
	Rate int // a second, as long as the machine can
	// Each of the clients of this kind is made by Client; what it returns makes one request, and may keep a connection from one to
	// the next. end, which may be nil, is called when the load ends.
	Client func() (request func(context.Context) error, end func())
}

// Load is traffic that goes on until it is ended.
type Load struct {
	stop  context.CancelFunc
	done  sync.WaitGroup
	began time.Time
	kinds []*count
}

// count is what became of the requests of one kind.
type count struct {
	Kind
	sent atomic.Int64

	mu     sync.Mutex
	failed []Failure
}

// Failure is a request that was not answered as it should be.
type Failure struct {
	Kind string
	At   time.Time
	Err  error
}

// clients is how many clients a kind has: enough to keep its rate while some of them wait.
const clients = 24

// Start begins a load.
func Start(kinds ...Kind) *Load {
	ctx, stop := context.WithCancel(context.Background())
	l := &Load{stop: stop, began: time.Now()}
	for _, kind := range kinds {
		c := &count{Kind: kind}
		l.kinds = append(l.kinds, c)
		for i := range clients {
			l.done.Go(func() { c.run(ctx, i) })
		}
	}
	return l
}

// run sends its share of the requests at the times when they are due. A client that is late, because an answer was or the machine is
// busy, makes up for at most a moment.
func (c *count) run(ctx context.Context, i int) {
	request, end := c.Client()
	if end != nil {
		defer end()
	}
	interval := time.Second * clients / time.Duration(c.Rate)
	due := time.Now().Add(interval * time.Duration(i) / clients)
	for {
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err := request(limited)
		cancel()
		c.sent.Add(1)
		if err != nil {
			c.fail(err)
		}
		due = due.Add(interval)
		if behind := time.Now().Add(-100 * time.Millisecond); due.Before(behind) {
			due = behind
		}
	}
}

func (c *count) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, Failure{c.Name, time.Now(), err})
}

// Report is what became of a load.
type Report struct {
	Sent     map[string]int64
	Failures []Failure
	Took     time.Duration
}

// End lets the requests that are under way end, and reports.
func (l *Load) End() Report {
	l.stop()
	l.done.Wait()
	r := Report{Sent: map[string]int64{}, Took: time.Since(l.began)}
	for _, c := range l.kinds {
		r.Sent[c.Name] = c.sent.Load()
		r.Failures = append(r.Failures, c.failed...)
	}
	return r
}

// Await waits until n more requests of each kind have been made, or ctx ends.
func (l *Load) Await(ctx context.Context, n int64) error {
	for _, c := range l.kinds {
		for want := c.sent.Load() + n; c.sent.Load() < want; {
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for more requests of kind %s: %w", c.Name, ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// String is the report in a line: what was sent, at which rate, and what failed.
func (r Report) String() string {
	var total int64
	failed := map[string]int{}
	for _, n := range r.Sent {
		total += n
	}
	for _, f := range r.Failures {
		failed[f.Kind]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %.1f s, %.0f/s, %d failed:", total, r.Took.Seconds(), float64(total)/r.Took.Seconds(), len(r.Failures))
	for _, kind := range slices.Sorted(maps.Keys(r.Sent)) {
		fmt.Fprintf(&b, " %s %d (%d failed)", kind, r.Sent[kind], failed[kind])
	}
	return b.String()
}

// AnswerError is an answer other than the one that was wanted.
type AnswerError struct {
	Status int
	Reason string // X-Usher-Reason
	ID     string // of the request, if it has one
}

// Error says what the answer was.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("answered %d, reason %q", e.Status, e.Reason)
}

// Reason is Usher's reason for a failure; false: the failure is not an answer of Usher's.
func (f Failure) Reason() (*AnswerError, bool) {
	var answer *AnswerError
	ok := errors.As(f.Err, &answer)
	return answer, ok && answer.Reason != ""
}
