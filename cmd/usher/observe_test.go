package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestPassingMistakesAreNotLogged: those of the first Table are logged at once, later ones when they have stood, so that a namespace
// that is deleted leaves no error line.
func TestPassingMistakesAreNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		teller := newTeller(zap.New(core))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = teller.run(ctx) }()
		table := func(names ...string) *route.Table {
			out := &route.Table{}
			for _, n := range names {
				out.Diagnostics = append(out.Diagnostics, route.Diagnostic{Severity: route.Error, Reason: policy.NoService, Message: n})
			}
			return out
		}
		want := func(n int, when string) {
			t.Helper()
			if got := logs.Len(); got != n {
				t.Errorf("%s: %d error lines, want %d: %v", when, got, n, logs.All())
			}
		}
		teller.publish(table("first"))
		want(1, "at the start")
		teller.publish(table("first", "passing"))
		time.Sleep(time.Second)
		teller.publish(table("first"))
		time.Sleep(10 * time.Second)
		want(1, "a mistake that passed")
		teller.publish(table("first", "standing"))
		time.Sleep(5 * time.Second)
		teller.publish(table("first", "standing", "other"))
		time.Sleep(time.Second)
		want(2, "a mistake that stands")
	})
}
