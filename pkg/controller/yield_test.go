package controller

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestYield: work pauses for half a millisecond after each half, before which Yield costs no time, and not at all while nothing is served.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serving := false
		y := NewYielder(func() bool { return serving })
		work := func() time.Duration {
			began := time.Now()
			for range 100 {
				time.Sleep(slice / 10) // stands for work
				y.Yield()
			}
			return time.Since(began)
		}
		if took := work(); took != 10*slice {
			t.Errorf("without requests to give way to, ten slices of work took %v", took)
		}
		serving = true
		y.Yield()
		if took := work(); took != 10*slice+10*pause {
			t.Errorf("ten slices of work took %v, want a pause after each", took)
		}
	})
}

// TestYieldTogether: two goroutines that work pause at the same time.
func TestYieldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := NewYielder(func() bool { return true })
		y.Yield()
		time.Sleep(slice)
		began := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				y.Yield()
				y.Yield()
			})
		}
		both.Wait()
		if took := time.Since(began); took != pause {
			t.Errorf("both paused for %v, want %v", took, pause)
		}
	})
}
