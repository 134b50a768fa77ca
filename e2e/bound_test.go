//go:build e2e

package e2e

import (
	"fmt"
	"testing"
)

// TestPathsBeyondTheBound: of an Ingress with more paths than one may have, those beyond answer 503; none of their requests reaches the wider
// path of another Ingress, and others are served.
func TestPathsBeyondTheBound(t *testing.T) {
	const bound = 10_000
	s := folderScene(t)
	s.backend("app")
	s.route("wide", "app.test", "/", "app")
	rules := make([]string, bound+100)
	for i := range rules {
		rules[i] = ruleJSON("app.test", fmt.Sprintf("/p%d", i))
	}
	s.put("large.json", s.ingressJSON("large", rules))
	u := s.usher()
	u.expect(fmt.Sprintf("http://app.test/p%d", bound-1), "app")
	for _, beyond := range []int{bound, bound + 99} {
		u.expect(fmt.Sprintf("http://app.test/p%d/x", beyond), "503 too-many-rules")
	}
	u.expect("http://app.test/other", "app")
}
