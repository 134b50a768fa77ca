package decide

import (
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
)

// Requests that come back. An endpoint may lead here again: a Service with the address of a load balancer in front of Usher, a mirror,
// an application that calls itself. Without an end to that, one request becomes as many as there are files.
//
// Each request to an endpoint carries CDN-Loop (RFC 8586), in which Usher adds a name of its own and the backend that the request goes
// to:
//
//	CDN-Loop: usher-5f1c…9a;to=8c2e41d09b37a6f2
//
// A request that would go again to a backend where it has been, or that has passed maxPasses times, is answered 508. Only what this
// process wrote counts: the name is random, so nobody who has not seen it can write it, and who sees it at an endpoint and repeats it
// denies nothing but his own requests. Replicas do not know each other's names, so that a loop through n of them ends after n passes.

// LoopField is the header field, as http.Header has it.
const LoopField = "Cdn-Loop"

// maxPasses is how often a request may pass this replica on its way through different backends.
const maxPasses = 8

// loop ends a request that comes back, and marks all others.
func (d *Decision) loop() bool {
	mark := d.env.Mark(d.Upstream)
	if d.passed != nil && comesBack(d.passed, mark) {
		return d.fail(policy.LoopDetected)
	}
	d.Edits.add(LoopField, mark)
	return false
}

// comesBack reports whether the request has been where it is about to go, or has been here too often.
func comesBack(passed []string, mark string) bool {
	name, _, _ := strings.Cut(mark, ";")
	passes := 0
	for _, line := range passed {
		if strings.Contains(line, mark) {
			return true
		}
		passes += strings.Count(line, name)
	}
	return passes >= maxPasses
}
