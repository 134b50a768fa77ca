package metrics

import "sync/atomic"

// tallies are counters by key. What the budget has no place for is counted under another key, of which there are few.
type tallies[K key] struct {
	*cowMap[K, tally]
	others *cowMap[K, tally]
	budget *budget
}

// tally counts by count, which is its own or one of the others'.
type tally struct {
	count  *atomic.Uint64
	shared bool
}

func newTallies[K key](b *budget, other func(K) K) tallies[K] {
	others := newCOWMap(func(K) *tally { return &tally{count: new(atomic.Uint64)} })
	return tallies[K]{others: others, budget: b, cowMap: newCOWMap(func(k K) *tally {
		if b.take(1) {
			return &tally{count: new(atomic.Uint64)}
		}
		return &tally{count: others.get(other(k)).count, shared: true}
	})}
}

func (t tallies[K]) add(k K) { t.get(k).count.Add(1) }

func (t tallies[K]) keep(wanted func(K) bool) {
	t.cowMap.keep(wanted, func(v *tally) {
		if !v.shared {
			t.budget.release(1)
		}
	})
}

func (t tallies[K]) each(f func(K, *atomic.Uint64)) {
	own := func(k K, v *tally) {
		if !v.shared {
			f(k, v.count)
		}
	}
	t.cowMap.each(own)
	t.others.each(own)
}
