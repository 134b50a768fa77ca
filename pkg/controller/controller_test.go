package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a source, a resolver, a data plane, an observer and a publisher in one, which write down what happens.
type fake struct {
	changed chan struct{}
	start   time.Time
	fail    error // of Run

	mu        sync.Mutex
	snapshot  object.Snapshot
	ready     bool
	resolve   func(*object.Snapshot) *route.Table
	turns     []time.Duration // when resolved, since start
	given     []*object.Snapshot
	published []uint64
	swaps     []Swap
	failures  []error
	live      *route.Live
	order     []string
}

func newFake() *fake {
	return &fake{changed: make(chan struct{}, 1), start: time.Now(), ready: true, live: &route.Live{},
		resolve: func(*object.Snapshot) *route.Table { return &route.Table{} }}
}

func (f *fake) Run(ctx context.Context) error {
	if f.fail != nil {
		return f.fail
	}
	<-ctx.Done()
	return nil
}

func (f *fake) Changed() <-chan struct{} { return f.changed }

func (f *fake) Snapshot() (*object.Snapshot, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = append(f.order, "snapshot")
	s := f.snapshot
	f.given = append(f.given, &s)
	return &s, f.ready
}

func (f *fake) Resolve(s *object.Snapshot, now time.Time) *route.Table {
	f.mu.Lock()
	f.order = append(f.order, "resolve")
	f.turns = append(f.turns, now.Sub(f.start))
	f.mu.Unlock()
	return f.resolve(s)
}

func (f *fake) prepare(t *route.Table) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = append(f.order, "prepare")
	if f.live.Load() == t {
		f.order = append(f.order, "prepared after the swap")
	}
}

func (f *fake) Swapped(s Swap) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = append(f.order, "observe")
	f.swaps = append(f.swaps, s)
}
func (f *fake) Failed(err error) { f.failures = append(f.failures, err) }

func (f *fake) publish(t *route.Table) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = append(f.order, "publish")
	f.published = append(f.published, t.Generation)
	if f.live.Load() != t {
		f.order = append(f.order, "published before the swap")
	}
}

func (f *fake) change() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// run starts a Controller over f in a bubble of time, and stops it after test.
func (f *fake) run(t *testing.T, test func(c *Controller)) {
	t.Helper()
	c := New(Options{Source: f, Resolver: f, Live: f.live, Prepare: f.prepare, Publish: f.publish, Observer: f})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	test(c)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func (f *fake) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOrderOfATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.run(t, func(c *Controller) {
			f.change()
			<-c.Ready()
			synctest.Wait()
		})
		if want := []string{"snapshot", "resolve", "prepare", "observe", "publish"}; !slices.Equal(f.order, want) {
			t.Errorf("order %v, want %v", f.order, want)
		}
	})
}

func TestFirstChangeAtOnceBurstCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.resolve = func(*object.Snapshot) *route.Table {
			time.Sleep(10 * time.Millisecond) // so that a burst is given 100 ms
			return &route.Table{}
		}
		f.run(t, func(*Controller) {
			f.change()
			f.wait(time.Second)
			f.change() // at 1 s, after a pause: at once
			for range 5 {
				f.wait(10 * time.Millisecond)
				f.change() // a burst until 1.050 s: 25 ms later
			}
			f.wait(time.Second)
		})
		want := []time.Duration{0, time.Second, 1075 * time.Millisecond}
		if !slices.Equal(f.turns, want) {
			t.Errorf("turns at %v, want %v", f.turns, want)
		}
	})
}

// TestEndlessChangesGoLive: a change waits ten times as long as a turn takes, but at least 25 ms and at most 150 ms. One comes every 10 ms.
func TestEndlessChangesGoLive(t *testing.T) {
	for _, test := range []struct{ turn, wait time.Duration }{
		{0, 25 * time.Millisecond},
		{5 * time.Millisecond, 50 * time.Millisecond},
		{time.Second, 150 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.resolve = func(*object.Snapshot) *route.Table {
				time.Sleep(test.turn)
				return &route.Table{}
			}
			f.run(t, func(*Controller) {
				for range 400 {
					f.change()
					f.wait(10 * time.Millisecond)
				}
			})
			for i, at := range f.turns[1:] {
				if gap := at - f.turns[i] - test.turn; gap < test.wait || gap > test.wait+10*time.Millisecond {
					t.Errorf("a turn of %s: the next %s after its end, want %s", test.turn, gap, test.wait)
				}
			}
		})
	}
}

func TestNotReadyBeforeTheFirstFullSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.ready = false
		f.run(t, func(c *Controller) {
			f.change()
			f.wait(time.Second)
			select {
			case <-c.Ready():
				t.Error("ready without a Snapshot")
			default:
			}
			f.mu.Lock()
			f.ready = true
			f.mu.Unlock()
			f.change()
			<-c.Ready()
			if f.live.Load() == nil {
				t.Error("ready without a Table")
			}
		})
	})
}

func TestGenerationsRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.run(t, func(*Controller) {
			for range 3 {
				f.change()
				f.wait(time.Second)
			}
		})
		if want := []uint64{1, 2, 3}; !slices.Equal(f.published, want) {
			t.Errorf("published %v, want %v", f.published, want)
		}
	})
}

func TestPanicKeepsTheLastTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		good := f.resolve
		f.snapshot.Changes = []object.Change{}
		f.run(t, func(*Controller) {
			f.change()
			f.wait(time.Second)
			first := f.live.Load()
			f.resolve = func(*object.Snapshot) *route.Table { panic("broken") }
			f.change()
			f.wait(time.Second)
			if f.live.Load() != first || len(f.failures) != 2 {
				t.Errorf("live %p, was %p; failures %v", f.live.Load(), first, f.failures)
			}
			f.resolve = good
			f.change()
			f.wait(time.Second)
			if last := f.given[len(f.given)-1]; last.Changes != nil {
				t.Error("after a failure only the last changes are compared")
			}
			if got := f.live.Load(); got == first || got.Generation != 2 {
				t.Errorf("generation %d", got.Generation)
			}
		})
	})
}

// TestPanicLosesNoChange: the Snapshot of a turn that panicked is resolved again at once, compared as a whole.
func TestPanicLosesNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		good := f.resolve
		f.snapshot.Changes = []object.Change{}
		f.run(t, func(*Controller) {
			f.change()
			f.wait(time.Second)
			first := f.live.Load()
			f.resolve = func(s *object.Snapshot) *route.Table {
				if s.Changes != nil {
					panic("broken")
				}
				return good(s)
			}
			f.change()
			f.wait(time.Second)
			if f.live.Load() == first || len(f.failures) != 1 {
				t.Errorf("the change that met the panic is not live; failures %v", f.failures)
			}
		})
	})
}

func TestSameTableIsNoSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		table := &route.Table{}
		f.resolve = func(*object.Snapshot) *route.Table { return table }
		f.run(t, func(*Controller) {
			for range 2 {
				f.change()
				f.wait(time.Second)
			}
		})
		if len(f.swaps) != 1 || table.Generation != 1 {
			t.Errorf("%d swaps, generation %d", len(f.swaps), table.Generation)
		}
	})
}

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.snapshot = object.Snapshot{Changes: make([]object.Change, 2), Since: f.start.Add(-time.Second)}
		f.resolve = func(*object.Snapshot) *route.Table {
			time.Sleep(5 * time.Millisecond)
			no := route.Diagnostic{Reason: policy.NoService, Severity: route.Error}
			return &route.Table{Diagnostics: []route.Diagnostic{no, no}}
		}
		f.run(t, func(c *Controller) {
			f.change()
			<-c.Ready()
			synctest.Wait()
		})
		s := f.swaps[0]
		if s.Generation != 1 || s.Changes != 2 || s.Resolve != 5*time.Millisecond || s.Live != 1005*time.Millisecond || s.Diagnostics[Diagnosed{"no-service", "error"}] != 2 {
			t.Errorf("swap %+v", s)
		}
	})
}

func TestSourceFailureEndsTheLoop(t *testing.T) {
	f := newFake()
	f.fail = errors.New("no such folder")
	err := New(Options{Source: f, Resolver: f, Live: f.live}).Run(t.Context())
	if err == nil || err.Error() != "source: no such folder" {
		t.Errorf("error %v", err)
	}
}
