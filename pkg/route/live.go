package route

import "sync/atomic"

// Live is the one pointer to the Table in use. It has one writer, the controller, and any number of readers; a request or handshake
// loads it once and keeps that Table to its end.
type Live struct {
	table atomic.Pointer[Table]
	next  atomic.Pointer[chan struct{}]
}

// Load returns the Table in use, or nil before the first one.
func (l *Live) Load() *Table { return l.table.Load() }

// Swap puts t in use and returns the Table before it, or nil.
func (l *Live) Swap(t *Table) *Table {
	old := l.table.Swap(t)
	if waiting := l.next.Swap(nil); waiting != nil {
		close(*waiting)
	}
	return old
}

// Next returns a channel that is closed at the next Swap. Who waits for a Table with some property asks for Next first and for Load
// second, so that no Swap is missed.
func (l *Live) Next() <-chan struct{} {
	for {
		if waiting := l.next.Load(); waiting != nil {
			return *waiting
		}
		fresh := make(chan struct{})
		if l.next.CompareAndSwap(nil, &fresh) {
			return fresh
		}
	}
}
