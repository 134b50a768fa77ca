package source

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// doubt is how long an API server may refuse (403) before that is believed, if it does not say that it is ready. While it starts
	// it refuses everything, because it has not read any role yet.
	doubt = 30 * time.Second
	// silence is how long the API server may leave questions unanswered before it counts as disconnected.
	silence = 15 * time.Second
)

// errUnanswered stands for the empty watch without an error that client-go returns when a request timed out or was cut off.
var errUnanswered = errors.New("the API server did not answer")

// health knows which feeds have failed since they last succeeded, and whether the API server answers at all. It hears of every list
// and watch, also of those that a Reflector repeats in silence.
//
// A refusal of what Usher can do without (see optional) is believed when the same feed is refused again after the API server has said
// that it is ready, or when it has been refused for as long as doubt.
type health struct {
	observer Observer
	log      *zap.Logger
	fatal    chan error    // of the first list that fails, for a reader that does not wait; nil otherwise
	doubted  chan struct{} // capacity 1: somebody wants to know whether the API server is ready

	mu       sync.Mutex
	failing  map[*feed]error
	refused  map[*feed]bool
	worked   bool      // anything did, ever
	ready    time.Time // when it was last asked whether it is ready, and said yes
	answered time.Time // when it last answered that question, in whatever way
	silent   bool      // it has not, for as long as silence
}

func newHealth(o ClusterOptions) *health {
	return &health{
		observer: o.Observer, log: o.Log, doubted: make(chan struct{}, 1),
		failing: map[*feed]error{}, refused: map[*feed]bool{},
	}
}

func (h *health) connected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.well()
}

// list notes the outcome of a list that began at a time.
func (h *health) list(ctx context.Context, f *feed, began time.Time, err error) {
	if h.watch(ctx, f, began, err); err == nil || ctx.Err() != nil || apierrors.IsForbidden(err) && f.optional() {
		return
	}
	select {
	case h.fatal <- err:
	default:
	}
}

// watch notes the outcome of the start of a watch.
func (h *health) watch(ctx context.Context, f *feed, began time.Time, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		h.succeeded(f)
	default:
		h.failed(f, began, err)
	}
}

func (h *health) succeeded(f *feed) {
	h.mu.Lock()
	before := h.well()
	h.worked = true
	delete(h.failing, f)
	f.refusedSince, f.pause = time.Time{}, time.Time{}
	was := h.refused[f]
	delete(h.refused, f)
	h.tell(before)
	h.mu.Unlock()
	if was {
		h.tellRefused(f.kind)
		f.readable("")
	}
}

func (h *health) failed(f *feed, began time.Time, err error) {
	if h.observer != nil {
		h.observer.APIServerError(string(f.kind))
	}
	if h.believes(f, began, err) {
		h.refuse(f, err)
		return
	}
	h.mu.Lock()
	before, known := h.well(), h.failing[f] != nil
	h.failing[f] = err
	h.tell(before)
	h.mu.Unlock()
	if !known {
		h.log.Warn("the API server cannot be read; what was read stays in use", f.fields(err)...)
	}
}

// believes reports whether an error is a refusal that Usher goes on without what was refused.
func (h *health) believes(f *feed, began time.Time, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !apierrors.IsForbidden(err) || !f.optional() {
		f.refusedSince = time.Time{}
		return false
	}
	if f.refusedSince.IsZero() {
		f.refusedSince = time.Now()
	}
	if h.refused[f] || h.ready.After(f.refusedSince) && began.After(h.ready) || time.Since(f.refusedSince) >= doubt {
		return true
	}
	select {
	case h.doubted <- struct{}{}:
	default:
	}
	return false
}

// refuse lets Usher go on without what a feed reads.
func (h *health) refuse(f *feed, err error) {
	h.mu.Lock()
	before, known := h.well(), h.refused[f]
	h.worked = true
	delete(h.failing, f)
	h.refused[f] = true
	f.pause = time.Now().Add(refusedPause)
	h.tell(before)
	h.mu.Unlock()
	if !known {
		h.log.Warn("not allowed to read; going on without, and asking again every minute", f.fields(err)...)
		h.tellRefused(f.kind)
		f.readable("may not be read: the API server refuses it (403 Forbidden)")
	}
	f.done()
}

// tellRefused tells the observer how many feeds of a kind are refused.
func (h *health) tellRefused(kind object.Kind) {
	if h.observer == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for f := range h.refused {
		if f.kind == kind {
			n++
		}
	}
	h.observer.APIServerRefused(string(kind), n)
}

// forget is for a feed that was stopped.
func (h *health) forget(f *feed) {
	h.mu.Lock()
	before, was := h.well(), h.refused[f]
	delete(h.failing, f)
	delete(h.refused, f)
	h.tell(before)
	h.mu.Unlock()
	if was {
		h.tellRefused(f.kind)
	}
}

// why is what a feed has met instead of an answer; nil if it has had one, or is still waiting for it.
func (h *health) why(f *feed) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing[f]
}

func (h *health) well() bool { return h.worked && !h.silent && len(h.failing) == 0 }

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
