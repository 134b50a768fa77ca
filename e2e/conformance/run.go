//go:build linux

package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// Target is the controller under test.
type Target struct {
	World       World
	Class       string // of Ingresses; it exists
	HTTP, HTTPS string // where the controller listens, host:port
	Pods        string // IP address of this machine at which the controller reaches it
	Patience    time.Duration
}

// pause is between two passes over the requests of a step.
const pause = 50 * time.Millisecond

// Result is how one Feature went.
type Result struct {
	Feature Feature
	Checks  int   // requests, and addresses in a status
	Skipped int   // of these, for lack of a status
	Err     error // nil if it passed
}

// Run plays one Feature.
func (t *Target) Run(ctx context.Context, f Feature) (r Result) {
	r.Feature = f
	s, err := t.stage(f)
	if err != nil {
		r.Err = err
		return r
	}
	defer s.pods.close()
	defer func() {
		if err := t.World.Clear(context.WithoutCancel(ctx), s.namespace); r.Err == nil {
			r.Err = err
		}
	}()
	for i := range f.Steps {
		if err := t.step(ctx, s, &f.Steps[i], &r); err != nil {
			r.Err = fmt.Errorf("step %d: %w", i+1, err)
			return r
		}
	}
	return r
}

func (t *Target) stage(f Feature) (*stage, error) {
	authority, err := cluster.NewAuthority("conformance")
	if err != nil {
		return nil, err
	}
	return &stage{
		namespace: "conformance-" + f.Name, class: t.Class, authority: authority,
		pods: pods{address: t.Pods, of: map[string][]*cluster.Backend{}}, certificates: map[string]cluster.KeyPair{},
	}, nil
}

// step makes the step's objects and repeats its checks until all hold in one
// pass, or patience ends.
func (t *Target) step(ctx context.Context, s *stage, step *Step, r *Result) error {
	objects, err := s.objects(step)
	if err != nil {
		return err
	}
	if err := t.World.Apply(ctx, s.namespace, objects); err != nil {
		return err
	}
	r.Checks += len(step.Requests) + len(step.Status)
	ctx, cancel := context.WithTimeout(ctx, t.Patience)
	defer cancel()
	for {
		skipped, failed := t.pass(ctx, s, step)
		if failed == nil {
			r.Skipped += skipped
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", t.Patience, failed)
		case <-time.After(pause):
		}
	}
}

// pass makes each check once.
func (t *Target) pass(ctx context.Context, s *stage, step *Step) (skipped int, failed error) {
	a := asker{http: t.HTTP, https: t.HTTPS, stage: s}
	var errs []error
	for _, request := range step.Requests {
		if err := a.check(ctx, request); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", request, err))
		}
	}
	for _, ingress := range slices.Sorted(maps.Keys(step.Status)) {
		exposed, known, err := t.World.Exposed(ctx, s.namespace, ingress)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !known:
			skipped++
		case exposed != step.Status[ingress]:
			errs = append(errs, fmt.Errorf("status of Ingress %s names an address: %v, want %v", ingress, exposed, !exposed))
		}
	}
	return skipped, errors.Join(errs...)
}
