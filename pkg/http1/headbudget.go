package http1

import "sync/atomic"

// HeadBudget bounds what heads that are still arriving may hold together, beyond the buffer of 8 KiB that each begins with: limits of
// one connection do not bound what ten thousand clients make a process hold. Servers may share one. While it is used up, a head that
// needs more than its first buffer is refused with 431. A nil HeadBudget bounds nothing.
type HeadBudget struct{ left atomic.Int64 }

// NewHeadBudget returns a budget of so many bytes.
func NewHeadBudget(bytes int64) *HeadBudget {
	b := &HeadBudget{}
	b.left.Store(bytes)
	return b
}

// Hold takes what a head of size bytes needs more than the held bytes that it has of the budget, and returns what it holds now.
// False: there is not so much left, and nothing was taken.
func (b *HeadBudget) Hold(held int64, size int) (int64, bool) {
	more := int64(size) - headBuffer - held
	if b == nil || more <= 0 {
		return held, true
	}
	if b.left.Add(-more) < 0 {
		b.left.Add(more)
		return held, false
	}
	return held + more, true
}

// Left is what of the budget is free.
func (b *HeadBudget) Left() int64 { return b.left.Load() }

// Release gives back what a head held, when it has arrived or was refused.
func (b *HeadBudget) Release(held int64) {
	if held > 0 {
		b.left.Add(held)
	}
}
