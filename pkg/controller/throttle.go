package controller

import (
	"time"

	"github.com/usher-ingress/usher/pkg/object"
)

// throttle keeps the changes of one namespace from delaying those of others. Each namespace may have so much resolved in a second,
// and some at once; what it changes beyond that waits until it has paid for what was resolved before, and is then resolved as it is
// by that time, once. Changes of other namespaces in the same turn do not wait for it.
//
// For example, an Ingress of 10,000 paths that changes 100 times a second is resolved every other second.
type throttle struct {
	weigh  func(*object.Snapshot, object.Change) int // what resolving a change costs, in paths; nil throttles nothing
	debts  map[string]debt                           // by namespace
	held   map[object.Change]bool                    // changes that wait
	pruned time.Time
}

// debt is what a namespace had resolved and has not paid for at a time, in paths.
type debt struct {
	paths float64
	at    time.Time
}

const (
	// pathsPerSecond is what a namespace pays back. Resolving so many takes a few hundredths of a second.
	pathsPerSecond = 10_000
	// pathsAtOnce is what it may owe and still be served.
	pathsAtOnce = 20_000
)

func newThrottle(weigh func(*object.Snapshot, object.Change) int) throttle {
	return throttle{weigh: weigh, debts: map[string]debt{}, held: map[object.Change]bool{}}
}

// pass leaves in s the changes that are to be resolved now, those that waited long enough among them, and holds back the rest. It
// reports whether there is anything to do.
func (t *throttle) pass(s *object.Snapshot, now time.Time) bool {
	if t.weigh == nil || s.Changes == nil {
		return true
	}
	fresh := len(s.Changes)
	for _, c := range s.Changes {
		t.held[c] = true
	}
	passed := make([]object.Change, 0, len(t.held))
	for c := range t.held {
		if !isHeavy(c.Kind) || t.charge(s, c, now) {
			delete(t.held, c)
			passed = append(passed, c)
		}
	}
	s.Changes = passed
	t.prune(now)
	return len(passed) > 0 || fresh == 0 // without changes there are problems of the source
}

// isHeavy reports whether changes of a kind can be held back. Endpoints are not: they cost little, and requests go to them.
func isHeavy(kind object.Kind) bool { return kind == object.Ingress || kind == object.Secret }

// charge reports whether a namespace may have a change resolved now, and notes what it costs.
func (t *throttle) charge(s *object.Snapshot, c object.Change, now time.Time) bool {
	owed := t.owed(c.Key.Namespace, now)
	if owed >= pathsAtOnce {
		return false
	}
	t.debts[c.Key.Namespace] = debt{owed + float64(t.weigh(s, c)), now}
	return true
}

func (t *throttle) owed(namespace string, now time.Time) float64 {
	d := t.debts[namespace]
	return max(0, d.paths-pathsPerSecond*now.Sub(d.at).Seconds())
}

// prune forgets the namespaces that owe nothing, now and then.
func (t *throttle) prune(now time.Time) {
	if now.Sub(t.pruned) < time.Minute {
		return
	}
	t.pruned = now
	for namespace := range t.debts {
		if t.owed(namespace, now) == 0 {
			delete(t.debts, namespace)
		}
	}
}

// wait is how long until the next of the changes that wait may be resolved; false if none does.
func (t *throttle) wait(now time.Time) (time.Duration, bool) {
	least, found := time.Duration(0), false
	for c := range t.held {
		beyond := max(0, t.owed(c.Key.Namespace, now)-pathsAtOnce)
		in := time.Duration(beyond/pathsPerSecond*float64(time.Second)) + time.Millisecond
		if !found || in < least {
			least, found = in, true
		}
	}
	return least, found
}
