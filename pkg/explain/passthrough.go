package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// passedThrough explains a connection whose TLS is not ended here, and tells whether it is one. Then there is no request: the path is
// the application's affair.
func (x *run) passedThrough() bool {
	s := x.table.PassedThrough(x.request.server)
	if !x.request.tls || s == nil {
		return false
	}
	x.match = x.table.Lookup(x.request.server, "/")
	x.describeHost()
	if r := x.match.Route; r != nil {
		x.describePath(r)
		x.describeSettings(r)
	}
	x.backend = x.table.To(s)
	x.Note(policy.PhaseRoute, "TLS is passed through by the server name "+x.request.server)
	x.goesTo(s)
	x.diagnostics()
	return true
}

func (x *run) goesTo(s *route.Stream) {
	reason := s.Broken
	if x.backend != nil {
		x.describeBackend()
		x.out.Backend.Protocol = "TLS as it came"
		if reason == "" {
			reason = x.backend.Reason
		}
		if reason == "" && len(x.backend.Endpoints) > 0 {
			x.out.Answer = Answer{By: ByEndpoint, Cause: fmt.Sprintf("ssl-passthrough: TLS for %s goes as it is to an endpoint, which has the certificate and answers every path", x.request.server)}
			return
		}
	}
	if reason == "" {
		reason = policy.NoEndpoints
	}
	x.answer(Answer{Status: statusOf(reason), Reason: reason, Cause: "ssl-passthrough: the connection is closed without an answer, since there is nothing to pass it to"})
}
