package source

import (
	"context"
	"sync"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// health knows which feeds have failed since they last succeeded. It hears of every list and watch, also of those that a Reflector
// repeats in silence.
type health struct {
	observer Observer
	log      *zap.Logger
	fatal    chan error // of the first list that fails, for a reader that does not wait; nil otherwise

	mu      sync.Mutex
	failing map[*feed]bool
	worked  bool // anything did, ever
}

func newHealth(o ClusterOptions) *health {
	return &health{observer: o.Observer, log: o.Log, failing: map[*feed]bool{}}
}

func (h *health) connected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.well()
}

// list notes the outcome of a list.
func (h *health) list(ctx context.Context, f *feed, err error) {
	h.watch(ctx, f, err)
	if err == nil || ctx.Err() != nil || h.tolerates(f, err) {
		return
	}
	select {
	case h.fatal <- err:
	default:
	}
}

// watch notes the outcome of the start of a watch.
func (h *health) watch(ctx context.Context, f *feed, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		h.set(f, false)
	default:
		h.failed(f, err)
	}
}

func (h *health) failed(f *feed, err error) {
	if h.observer != nil {
		h.observer.APIServerError(string(f.kind))
	}
	if h.tolerates(f, err) {
		h.log.Warn("not allowed to read; going on without", zap.String("kind", string(f.kind)), zap.String("name", f.name), zap.Error(err))
		h.set(f, false)
		f.done()
		return
	}
	if h.set(f, true) {
		h.log.Warn("the API server cannot be read; what was read stays in use", zap.String("kind", string(f.kind)), zap.String("name", f.name), zap.Error(err))
	}
}

// tolerates tells an answer that does not keep Usher from starting: see optional.
func (h *health) tolerates(f *feed, err error) bool {
	return apierrors.IsForbidden(err) && f.optional()
}

// set notes whether a feed fails, tells the observer if that makes a difference to the whole, and returns whether it is news.
func (h *health) set(f *feed, failing bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, news := h.well(), h.failing[f] != failing
	if failing {
		h.failing[f] = true
	} else {
		h.worked = true
		delete(h.failing, f)
	}
	h.tell(before)
	return news
}

// forget is for a feed that was stopped.
func (h *health) forget(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.well()
	delete(h.failing, f)
	h.tell(before)
}

func (h *health) well() bool { return h.worked && len(h.failing) == 0 }

func (h *health) tell(before bool) {
	after := h.well()
	if after == before {
		return
	}
	if h.observer != nil {
		h.observer.APIServerConnected(after)
	}
	if after {
		h.log.Info("the API server is read")
	}
}
