package decide

import (
	"slices"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
)

// TestPhases: decisions are made in the order that package policy writes down.
func TestPhases(t *testing.T) {
	at := 0
	for i := range phases {
		n := slices.Index(policy.Phases(), phases[i].name)
		if n < at {
			t.Errorf("phase %d is %s, which comes before %s", i, phases[i].name, policy.Phases()[at])
		}
		at = n
	}
}

// TestZeroIsBroken: who forgets to decide lets nobody in.
func TestZeroIsBroken(t *testing.T) {
	var d Decision
	if d.Sends() || d.Access != Broken {
		t.Errorf("the zero Decision sends a request on, by access %d", d.Access)
	}
}
