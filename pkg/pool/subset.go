package pool

import (
	"cmp"
	"slices"
)

// Ring is endpoints in the order of their seeds, which is the same on every replica. Each endpoint stands for the subset that begins
// with it and goes on with those after it: a key is at home in exactly as many endpoints as were asked for, every endpoint is in
// equally many subsets, and one that joins or leaves changes the subsets of its neighbours only. Finding the best few scores of a key
// instead costs three times as much.
type Ring struct {
	order []int // indexes of endpoints, twice over, so that nobody has to begin again
	place []int // of each endpoint in order
}

// NewRing makes the ring of some seeds.
func NewRing(seeds []uint64) *Ring {
	r := &Ring{order: make([]int, len(seeds), 2*len(seeds)), place: make([]int, len(seeds))}
	for i := range seeds {
		r.order[i] = i
	}
	slices.SortFunc(r.order, func(a, b int) int { return cmp.Compare(seeds[a], seeds[b]) })
	for at, i := range r.order {
		r.place[i] = at
	}
	r.order = append(r.order, r.order...)
	return r
}

// Subset chooses at random in the subset of key, which has pick.Size endpoints. ring must be made of seeds.
func (c *Candidates) Subset(key uint64, seeds []uint64, ring *Ring, pick Draw) int {
	size := uint32(max(1, min(pick.Size, len(seeds))))
	drawn := int(uint64(pick.Random) * uint64(size) >> 32)
	first := Preferred(key, seeds)
	if first < 0 {
		return -1
	}
	subset := ring.order[ring.place[first]:][:size]
	if i := subset[drawn]; c.Sound(i) {
		return i
	}
	for k := range subset { // the others of the subset
		if i := subset[(drawn+k)%len(subset)]; c.Sound(i) {
			return i
		}
	}
	return c.rendezvousSlow(key, seeds)
}

// Draw is how one of a subset is chosen.
type Draw struct {
	Size   int
	Random uint32
}
