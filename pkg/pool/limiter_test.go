package pool

import (
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		key := LimitKey{Namespace: "demo", Name: "shop", Client: netip.MustParseAddr("192.0.2.1")}
		admitted := func(n int) (ok int) {
			for range n {
				if l.Allow(key, Rate{PerSecond, 10, 50}) {
					ok++
				}
			}
			return ok
		}
		if n := admitted(100); n != 51 {
			t.Errorf("%d at once, want one and a burst of 50", n)
		}
		time.Sleep(time.Second)
		if n := admitted(100); n != 10 {
			t.Errorf("%d after a second, want 10", n)
		}
		other := key
		other.Client = netip.MustParseAddr("192.0.2.2")
		if !l.Allow(other, Rate{PerSecond, 10, 0}) {
			t.Error("another client has its own rate")
		}
		key.Kind = AtATime
		if !l.Acquire(key, 2) || !l.Acquire(key, 2) || l.Acquire(key, 2) {
			t.Error("want two at a time")
		}
		l.Release(key)
		if !l.Acquire(key, 2) {
			t.Error("a released place is free")
		}
	})
}

// TestLimiterWithTwoRates: a request that one rate refuses does not count for the other.
func TestLimiterWithTwoRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		key := LimitKey{Client: netip.MustParseAddr("192.0.2.1")}
		fast, slow := Rate{PerSecond, 1, 5}, Rate{PerMinute, 0.01, 2}
		for n := range 20 {
			if got := l.Allow(key, fast, slow); got != (n < 3) {
				t.Errorf("request %d: %v, want three", n, got)
			}
		}
		for n := range 4 {
			if got := l.Allow(key, fast); got != (n < 3) {
				t.Errorf("%d more under the faster rate alone: %v, want three more", n, got)
			}
		}
	})
}

// TestLimiterForgets: a million clients do not take more memory than the bound, and those in progress are not forgotten.
func TestLimiterForgets(t *testing.T) {
	l := NewLimiter()
	busy := LimitKey{Kind: AtATime, Client: netip.MustParseAddr("192.0.2.1")}
	l.Acquire(busy, 1)
	for n := range 1_000_000 {
		l.Allow(LimitKey{Client: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}, Rate{PerSecond, 1, 1})
	}
	if size := l.Size(); size > limiterSize {
		t.Errorf("%d clients are remembered, want at most %d", size, limiterSize)
	}
	if l.Acquire(busy, 1) {
		t.Error("a request in progress was forgotten")
	}
}

// TestMemoryOfLimiter holds what a client that is remembered costs. It is counted without the race detector.
func TestMemoryOfLimiter(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	l := NewLimiter()
	for n := range 2 * limiterSize {
		l.Allow(LimitKey{Namespace: "demo", Name: "shop", Client: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}, Rate{PerSecond, 1, 1})
	}
	each := float64(heap()-before) / float64(l.Size())
	if t.Logf("%d clients, %.0f bytes each", l.Size(), each); each > 320 {
		t.Errorf("%.0f bytes for a client, want at most 320", each)
	}
}
