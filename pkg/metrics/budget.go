package metrics

import "sync/atomic"

// other is what the labels of a series say that counts for all there was no place for. Its namespace is empty, which no object's is.
const other = "other"

// budget bounds the series of objects. What was taken is given back when its object leaves the table.
type budget struct {
	left atomic.Int64
}

func newBudget(series int64) *budget {
	b := &budget{}
	b.left.Store(series)
	return b
}

// take reports whether there was place for n series.
func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

func (b *budget) release(n int) { b.left.Add(int64(n)) }
