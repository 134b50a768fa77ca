package explain

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// passedThrough explains a connection whose TLS is not ended here, and reports whether it is one. Then there is no request: the path is
// the application's affair.
func (x *run) passedThrough() bool {
	server := x.asked.server()
	s := x.table.PassedThrough(server)
	if !x.asked.request.TLS || s == nil {
		return false
	}
	x.Match = x.table.Lookup(route.Query{Host: server, Path: "/"})
	x.describeHost()
	if r := x.Match.Route; r != nil {
		x.describePath(r)
		x.describeSettings(r)
	}
	x.note(policy.PhaseRoute, "TLS is passed through by the server name %s", server)
	b, reason := decide.Stream(x.table, s)
	if x.Upstream.Backend = b; b != nil {
		x.out.Backend = describe(b)
		x.out.Backend.Protocol = "TLS as it came"
	}
	x.out.Answer = Answer{By: ByEndpoint, Cause: fmt.Sprintf("ssl-passthrough: TLS for %s goes as it is to an endpoint, which has the certificate and answers every path", server)}
	if reason != "" {
		doc := reason.Explain()
		x.out.Answer = Answer{By: ByUsher, Status: reason.Status(), Reason: reason, Meaning: doc.Doc, Cure: doc.Cure,
			Cause: "ssl-passthrough: the connection is closed without an answer, since there is nothing to pass it to"}
	}
	x.diagnostics()
	return true
}
