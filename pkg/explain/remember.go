package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
)

// Memory is how the requests to an endpoint have fared of late, as a data plane knows it.
type Memory struct {
	State   string        // "ok", "failing", "ejected", ...
	Failing int64         // failures since the last success
	Last    policy.Reason // of the last failure; empty before the first
}

// Remember adds what a running data plane knows to an explanation, which is made of objects alone: where every endpoint that would get
// the request has failed of late, the request will probably be answered by Usher, and by what reason and cure.
func (e *Explanation) Remember(memory func(address string) Memory) {
	if e.Backend == nil {
		return
	}
	used, failing, last := 0, 0, policy.Reason("")
	for i := range e.Backend.Endpoints {
		ep := &e.Backend.Endpoints[i]
		m := memory(ep.Address)
		if m.State == "unhealthy" {
			ep.Seen = "unhealthy by its health check"
		}
		if m.Failing > 0 {
			ep.Seen = fmt.Sprintf("%s: the last %s failed, by %s", m.State, attempts(m.Failing), m.Last)
		}
		if ep.State != "ready" && ep.State != "serving" {
			continue
		}
		used++
		if m.Failing > 0 {
			failing++
			last = m.Last
		}
	}
	if e.Answer.By != ByEndpoint || used == 0 || failing < used {
		return
	}
	doc := last.Explain()
	if doc.Status == 0 { // an answer that was not liked is passed on in the end
		return
	}
	e.Answer.Cause = fmt.Sprintf("every endpoint has failed of late; if they still do, the answer is %d, reason %s", doc.Status, last)
	e.Answer.Meaning, e.Answer.Cure = doc.Doc, doc.Cure
}

func attempts(n int64) string {
	if n == 1 {
		return "request"
	}
	return fmt.Sprintf("%d requests", n)
}
