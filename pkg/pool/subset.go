package pool

import "slices"

// Ring is endpoints in the order of their seeds, which is the same on every replica. Each endpoint stands for the subset that begins
// with it and goes on with those after it: a key is at home in exactly as many endpoints as were asked for, every endpoint is in
// equally many subsets, and one that joins or leaves changes the subsets of its neighbours only. Finding the best few scores of a key
// instead costs three times as much.
type Ring struct {
	order []int // indexes of endpoints
	place []int // of each endpoint in order
}

// NewRing makes the ring of some seeds.
func NewRing(seeds []uint64) *Ring {
	r := &Ring{order: make([]int, len(seeds)), place: make([]int, len(seeds))}
	for i := range seeds {
		r.order[i] = i
	}
	slices.SortFunc(r.order, func(a, b int) int {
		if seeds[a] < seeds[b] {
			return -1
		}
		return 1
	})
	for at, i := range r.order {
		r.place[i] = at
	}
	return r
}

// after is the endpoint n places behind endpoint i; n is less than there are endpoints.
func (r *Ring) after(i, n int) int {
	at := r.place[i] + n
	if at >= len(r.order) {
		at -= len(r.order)
	}
	return r.order[at]
}

// Subset chooses at random in the subset of key, which has size endpoints. ring must be made of seeds.
func (c *Candidates) Subset(key uint64, seeds []uint64, ring *Ring, pick Draw) int {
	first := preferred(key, seeds)
	if first < 0 {
		return -1
	}
	size := max(1, min(pick.Size, len(seeds)))
	drawn := int(uint64(pick.Random) * uint64(size) >> 32)
	for range size { // if the one that was drawn is out, the others of the subset
		if i := ring.after(first, drawn); c.sound(i) {
			return i
		}
		if drawn++; drawn == size {
			drawn = 0
		}
	}
	return c.rendezvousSlow(key, seeds)
}

// Draw is how one of a subset is chosen.
type Draw struct {
	Size   int
	Random uint32
}
