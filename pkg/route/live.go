package route

import "sync/atomic"

// Live is the one pointer to the Table in use. It has one writer, the controller, and any number of readers; a request or handshake
// loads it once and keeps that Table to its end.
type Live struct{ table atomic.Pointer[Table] }

// Load returns the Table in use, or nil before the first one.
func (l *Live) Load() *Table { return l.table.Load() }

// Swap puts t in use and returns the Table before it, or nil.
func (l *Live) Swap(t *Table) *Table { return l.table.Swap(t) }
