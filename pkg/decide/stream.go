package decide

import (
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Stream decides about a connection whose bytes are passed on as they are: to which backend, or why not.
func Stream(t *route.Table, s *route.Stream) (*route.Backend, policy.Reason) {
	b := t.To(s)
	switch {
	case s.Broken != "":
		return b, s.Broken
	case b == nil:
		return nil, policy.NoService
	case len(b.Endpoints) > 0:
		return b, ""
	case b.Reason != "":
		return b, b.Reason
	}
	return b, policy.NoEndpoints
}
