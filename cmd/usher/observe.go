package main

import (
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

// teller logs each Diagnostic once: when it appears, and errors and warnings also when they are gone.
type teller struct {
	log  *zap.Logger
	last []route.Diagnostic
	told map[route.Diagnostic]bool
}

func newTeller(log *zap.Logger) *teller { return &teller{log: log, told: map[route.Diagnostic]bool{}} }

func (t *teller) publish(table *route.Table) {
	if sameList(t.last, table.Diagnostics) {
		return
	}
	t.last = table.Diagnostics
	now := make(map[route.Diagnostic]bool, len(table.Diagnostics))
	for _, d := range table.Diagnostics {
		now[d] = true
		if !t.told[d] {
			t.tell(d)
		}
	}
	for d := range t.told {
		if !now[d] && d.Severity != route.Info {
			t.log.Info("mended", zap.String("reason", string(d.Reason)), zap.Stringer("object", d.Origin.Object), zap.String("field", d.Origin.Field))
		}
	}
	t.told = now
}

// sameList tells whether a and b are one slice; a Table shares what did not change with the one before it.
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
