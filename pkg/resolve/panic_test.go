package resolve_test

import (
	"maps"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
)

// TestPanicForgets: a Resolver that panicked half way through a turn gives, from then on, what a new one gives.
func TestPanicForgets(t *testing.T) {
	whole, now := large(20), time.Now()
	r := resolve.New(benchmarkOptions())
	r.Resolve(whole, now)

	changed := *whole
	changed.Ingresses = maps.Clone(whole.Ingresses)
	deleted := object.Key{}
	for k := range changed.Ingresses {
		deleted = k
	}
	delete(changed.Ingresses, deleted)
	broken := object.Change{Kind: object.IngressClass, Key: object.Key{Name: "broken"}}
	changed.IngressClasses = maps.Clone(whole.IngressClasses)
	changed.IngressClasses["broken"] = nil
	changed.Changes = []object.Change{{Kind: object.Ingress, Key: deleted}, broken}
	if !panics(func() { r.Resolve(&changed, now) }) {
		t.Fatal("no panic to recover from")
	}
	mended := changed
	mended.IngressClasses = whole.IngressClasses
	mended.Changes = []object.Change{broken} // does not name what the panic lost
	if diff := compareTables(r.Resolve(&mended, now), resolve.New(benchmarkOptions()).Resolve(&mended, now)); diff != "" {
		t.Error(diff)
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
