package source

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// A watch on which nothing comes looks the same whether nothing changed or the API server hangs. So it is asked now and then, by GET
// /readyz, which must be answered. The answer also says whether a refusal (403) is meant: see health.

const (
	probeEvery   = 10 * time.Second // while the API server is ready
	probeAgain   = time.Second      // while it is not
	probeTimeout = 10 * time.Second
	// probeLeast is the time between two probes, however many refusals are doubted.
	probeLeast = 100 * time.Millisecond
)

// askReady asks the API server whether it is ready; nil for a client that cannot, as fake ones.
func askReady(client API) func(context.Context) error {
	api, ok := client.CoreV1().RESTClient().(*rest.RESTClient)
	if !ok || api == nil {
		return nil
	}
	return func(ctx context.Context) error { return api.Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error() }
}

// probe asks until ctx ends.
func (c *Cluster) probe(ctx context.Context) {
	ask := c.options.Ask
	if ask == nil {
		if ask = askReady(c.options.Client); ask == nil {
			return
		}
	}
	for ctx.Err() == nil {
		began := time.Now()
		asking, cancel := context.WithTimeout(ctx, probeTimeout)
		err := ask(asking)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if answers(err) {
			c.contact.Store(time.Now().UnixNano())
		}
		c.health.probed(began, err)
		pause := probeAgain
		if err == nil {
			pause = probeEvery
		}
		sleep(ctx, probeLeast)
		select {
		case <-ctx.Done():
		case <-time.After(pause - probeLeast):
		case <-c.health.doubted:
		}
	}
}

// answers reports whether a probe was answered by an API server that works. It may forbid the question to us; an error of its own
// (5xx: its storage is away, or it is shutting down) is no such answer.
func answers(err error) bool {
	if err == nil {
		return true
	}
	status := apierrors.APIStatus(nil)
	return errors.As(err, &status) && status.Status().Code < 500
}

// probed notes the outcome of a probe that began at a time.
func (h *health) probed(began time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, now := h.well(), time.Now()
	if err == nil {
		h.ready = began
	}
	if h.answered.IsZero() || answers(err) {
		h.answered = now
	}
	was := h.silent
	h.silent = now.Sub(h.answered) >= silence
	if h.silent && !was {
		h.log.Warn("the API server does not answer; what was read stays in use", zap.Duration("since", now.Sub(h.answered)), zap.Error(err))
	}
	h.tell(before)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
