package http1

import (
	"testing"
	"time"
)

// A limit is never met early, at most an eighth of the wait late, and exactly by endpoints.
func TestSpread(t *testing.T) {
	wait := 80 * time.Second
	for _, late := range []int64{0, 1, 128, 255} {
		w := wire{late: late}
		limit := after(now(), wait)
		switch got := time.Duration(w.spread(limit) - limit); {
		case late == 0 && got != 0:
			t.Errorf("%s late on the connection of an endpoint", got)
		case late > 0 && (got <= 0 || got > wait/8):
			t.Errorf("%s late of %s", got, wait)
		}
		if w.spread(never) != never {
			t.Error("no limit became one")
		}
		if past := now() - 1; w.spread(past) != past {
			t.Error("what has passed is not now")
		}
	}
}
