package pool

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{}).Group("g")
		ctx := t.Context()
		if !g.Enter(ctx, 1, 0) || g.Enter(ctx, 1, 0) {
			t.Fatal("want one in flight")
		}
		if start := time.Now(); g.Enter(ctx, 1, 3*time.Second) || time.Since(start) != 3*time.Second {
			t.Error("want to wait three seconds in vain")
		}
		admitted := make(chan int, 2)
		for i := range 2 {
			go func() {
				if g.Enter(ctx, 1, time.Minute) {
					admitted <- i
				}
			}()
			synctest.Wait()
		}
		for i := range 2 {
			g.Exit()
			if got := <-admitted; got != i {
				t.Error("want first come, first served; got", got)
			}
		}
		g.Exit()
		if !g.Enter(ctx, 1, 0) {
			t.Error("all places are free again")
		}
	})
}

// TestQueueOfTwoLimits: routes to one Service may have limits of their own, and limits change while requests wait.
func TestQueueOfTwoLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{}).Group("g")
		ctx := t.Context()
		for range 4 {
			g.Enter(ctx, 4, 0)
		}
		var admitted atomic.Int32
		wait := func(limit int) {
			go func() {
				if g.Enter(ctx, limit, time.Minute) {
					admitted.Add(1)
				}
			}()
			synctest.Wait()
		}
		wait(2)
		wait(2)
		wait(5)
		for i, want := range []int32{0, 0, 1, 3, 3} { // of five in flight, as places become free
			g.Exit()
			if synctest.Wait(); admitted.Load() != want {
				t.Errorf("after %d ended %d were admitted, want %d", i+1, admitted.Load(), want)
			}
		}
		if wait(5); admitted.Load() != 4 {
			t.Error("a higher limit admits at once")
		}
		leaving, leave := context.WithCancel(ctx)
		done := make(chan bool)
		go func() { done <- g.Enter(leaving, 1, time.Minute) }()
		synctest.Wait()
		wait(9)
		if leave(); <-done {
			t.Error("who leaves is not admitted")
		}
		if synctest.Wait(); admitted.Load() != 5 {
			t.Error("the one behind who left has a higher limit, and waits")
		}
	})
}
