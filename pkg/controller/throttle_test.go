package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
)

func changeOf(namespace, name string) object.Change {
	return object.Change{Kind: object.Ingress, Key: object.Key{Namespace: namespace, Name: name}}
}

// TestThrottleHoldsBackOneNamespace: of 100 changes a second of a large Ingress few are resolved, the last one among them, and each
// change of somebody else is resolved in the turn it comes in.
func TestThrottleHoldsBackOneNamespace(t *testing.T) {
	large, small := changeOf("tenant", "large"), changeOf("other", "small")
	f := newThrottle(func(_ *object.Snapshot, c object.Change) int {
		if c == large {
			return 20_000
		}
		return 2
	})
	now, resolved := time.Unix(1, 0), map[object.Change]int{}
	for range 1000 {
		s := &object.Snapshot{Changes: []object.Change{large, small}}
		if f.pass(s, now); !slices.Contains(s.Changes, small) {
			t.Fatal("somebody else's change is held back")
		}
		for _, c := range s.Changes {
			resolved[c]++
		}
		now = now.Add(10 * time.Millisecond)
	}
	if n := resolved[large]; n < 5 || n > 7 {
		t.Errorf("the large one was resolved %d times in 10 s, want every other second", n)
	}
	wait, held := f.wait(now)
	if !held || wait <= 0 || wait > 2*time.Second {
		t.Fatalf("waits %v (%v), want up to 2 s", wait, held)
	}
	s := &object.Snapshot{Changes: []object.Change{}}
	if !f.pass(s, now.Add(wait)) || !slices.Equal(s.Changes, []object.Change{large}) {
		t.Errorf("after the wait %v is resolved, want the large one", s.Changes)
	}
	if _, held := f.wait(now.Add(wait)); held {
		t.Error("something is held back still")
	}
}

// TestThrottlePassesABurst: 10,000 new Ingresses of a namespace are resolved at once, and the first Snapshot is whole.
func TestThrottlePassesABurst(t *testing.T) {
	f := newThrottle(func(*object.Snapshot, object.Change) int { return 2 })
	s := &object.Snapshot{}
	for i := range 10_000 {
		s.Changes = append(s.Changes, changeOf("tenant", fmt.Sprint(i)))
	}
	if f.pass(s, time.Unix(1, 0)); len(s.Changes) != 10_000 {
		t.Errorf("%d of 10,000 were passed", len(s.Changes))
	}
	if first := (&object.Snapshot{}); !f.pass(first, time.Unix(1, 0)) || first.Changes != nil {
		t.Error("a Snapshot without known changes was changed")
	}
}

// TestThrottleForgets: namespaces that owe nothing are forgotten.
func TestThrottleForgets(t *testing.T) {
	f := newThrottle(func(*object.Snapshot, object.Change) int { return 2 })
	for i := range 1000 {
		f.pass(&object.Snapshot{Changes: []object.Change{changeOf(fmt.Sprint(i), "a")}}, time.Unix(1, 0))
	}
	f.pass(&object.Snapshot{Changes: []object.Change{changeOf("x", "a")}}, time.Unix(100, 0))
	if len(f.debts) != 1 {
		t.Errorf("%d namespaces are remembered, want the last one", len(f.debts))
	}
}

// TestEndpointsAreNotHeldBack: whatever a namespace owes, its endpoints go live.
func TestEndpointsAreNotHeldBack(t *testing.T) {
	f := newThrottle(func(*object.Snapshot, object.Change) int { return 100_000 })
	f.pass(&object.Snapshot{Changes: []object.Change{changeOf("tenant", "large")}}, time.Unix(1, 0))
	endpoints := object.Change{Kind: object.EndpointSlice, Key: object.Key{Namespace: "tenant", Name: "shop"}}
	s := &object.Snapshot{Changes: []object.Change{changeOf("tenant", "large"), endpoints}}
	if f.pass(s, time.Unix(1, 0)); !slices.Equal(s.Changes, []object.Change{endpoints}) {
		t.Errorf("%v is resolved, want the endpoints", s.Changes)
	}
}
