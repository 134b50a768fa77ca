package main

import (
	"context"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/controller"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/zap"
)

// turns hands what the controller's loop tells to the metrics and the log.
type turns struct {
	metrics *metrics.Metrics
	log     *zap.Logger
}

func (t *turns) Swapped(s controller.Swap) {
	t.metrics.TableSwapped(metrics.Swap{Generation: s.Generation, Resolve: s.Resolve, Swap: s.Swap, Live: s.Live})
	var all []metrics.Diagnosed
	for kind, n := range s.Diagnostics {
		all = append(all, metrics.Diagnosed{Severity: kind.Severity, Reason: kind.Reason, Count: n})
	}
	t.metrics.Diagnostics(all)
	t.log.Debug("table swapped", zap.Uint64("generation", s.Generation), zap.Int("changes", s.Changes),
		zap.Duration("resolve", s.Resolve), zap.Duration("live", s.Live))
}

func (t *turns) Failed(err error) {
	t.metrics.TableFailed()
	t.log.Error("no new table; the last one goes on serving", zap.Error(err))
}

// publishers calls each in turn.
func publishers(all ...func(*route.Table)) func(*route.Table) {
	return func(t *route.Table) {
		for _, p := range all {
			if p != nil {
				p(t)
			}
		}
	}
}

// standing is how long a mistake must stand before it is logged, unless it is there from the start: an Ingress comes before its
// Secret, and while a namespace is deleted, Services go before Ingresses.
const standing = 3 * time.Second

// teller logs each Diagnostic once: when it has stood for a moment, and errors and warnings also when they are gone.
type teller struct {
	log *zap.Logger

	mu    sync.Mutex
	begun bool // the first Table came
	last  []route.Diagnostic
	since map[route.Diagnostic]time.Time // when each came up; zero once it was logged
}

func newTeller(log *zap.Logger) *teller {
	return &teller{log: log, since: map[route.Diagnostic]time.Time{}}
}

// run logs what has stood for long enough, until ctx ends.
func (t *teller) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			t.due(now.Add(-standing))
		}
	}
}

// due logs what came up before a time.
func (t *teller) due(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d, since := range t.since {
		if !since.IsZero() && !since.After(before) {
			t.since[d] = time.Time{}
			t.tell(d)
		}
	}
}

func (t *teller) publish(table *route.Table) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sameList(t.last, table.Diagnostics) {
		return
	}
	t.last = table.Diagnostics
	now := make(map[route.Diagnostic]time.Time, len(table.Diagnostics))
	for _, d := range table.Diagnostics {
		since, known := t.since[d]
		switch {
		case known:
		case t.begun:
			since = time.Now()
		default:
			t.tell(d)
		}
		now[d] = since
	}
	for d, since := range t.since {
		if _, there := now[d]; !there && since.IsZero() && d.Severity != route.Info {
			t.log.Info("mended", zap.String("reason", string(d.Reason)), zap.Stringer("object", d.Origin.Object), zap.String("field", d.Origin.Field))
		}
	}
	t.since, t.begun = now, true
}

// sameList reports whether a and b are one slice; a Table shares what did not change with the one before it.
func sameList(a, b []route.Diagnostic) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (t *teller) tell(d route.Diagnostic) {
	log := t.log.Debug
	switch {
	case d.Severity == route.Error:
		log = t.log.Error
	case d.Severity == route.Warning:
		log = t.log.Warn
	case d.Reason == policy.ClassIgnored: // the commonest question: why is my Ingress not served?
		log = t.log.Info
	}
	log(d.Message, zap.String("reason", string(d.Reason)), zap.Stringer("object", d.Origin.Object),
		zap.String("field", d.Origin.Field), zap.String("effect", d.Effect))
}
