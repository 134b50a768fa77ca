package proxy

import (
	"net/http"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// route finds what answers host and path.
func (x *exchange) route() bool {
	if x.lastAsked() {
		return true
	}
	path, _, _ := strings.Cut(x.ask.Target, "?")
	path, err := route.Normalize(path)
	if err != nil {
		x.record.Error = err.Error()
		return x.refuse()
	}
	x.ask.Path, x.ask.Named, x.ask.TLS = path, x.hostAsked(), x.r.TLS != nil
	x.match = x.table.Lookup(x.ask.Named, path)
	if x.match.Host == nil && path == "/healthz" && x.r.Method == http.MethodGet {
		return x.healthy()
	}
	if x.match.Route == nil {
		return x.r.TLS != nil && x.clientCert() || x.fail(x.match.Reason)
	}
	x.record.Route = x.match.Route
	if x.match.Host != nil && x.match.Host.Passthrough != nil && x.r.TLS != nil {
		return x.fail(policy.Misdirected)
	}
	if x.match.Route.Policy != nil {
		x.set = x.match.Route.Policy
	}
	return false
}

// refuse answers a request that should not have been made, and ends its connection: whoever says such things is not listened to further.
func (x *exchange) refuse() bool {
	if x.r.ProtoMajor == 1 {
		x.w.Header()["Connection"] = []string{"close"}
	}
	return x.fail(policy.BadRequest)
}

// healthy answers the health check of a load balancer in front of us, which knows no host.
func (x *exchange) healthy() bool {
	x.begun = true
	x.record.Status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	return true
}

// redirect runs the decisions that come before any backend is looked at. The client's certificate is judged before all of them, as
// in nginx; plain HTTP has none, so there a redirect to HTTPS goes before.
func (x *exchange) redirect() bool {
	if x.r.TLS != nil && x.clientCert() {
		return true
	}
	tls := x.match.Host != nil && x.match.Host.TLS
	answer := x.set.Early(&x.ask, tls, forgetful{})
	switch {
	case answer.Status == 0:
		return x.r.TLS == nil && x.clientCert()
	case answer.Status < http.StatusBadRequest:
		return x.redirectTo(answer)
	}
	return x.fail(answer.Reason)
}

// forgetful is the policy.Env of real requests: notes are for explain.
type forgetful struct{}

// Note does nothing.
func (forgetful) Note(policy.Phase, string) {}

// access keeps a route that cannot be served to itself: it answers 503 and never falls through to a wider one.
func (x *exchange) access() bool {
	if x.match.Route.Broken != "" {
		return x.fail(x.match.Route.Broken)
	}
	b := x.backend()
	if b == nil {
		return x.fail(policy.NoService)
	}
	if len(b.Endpoints) == 0 && x.wait() {
		b = x.backend()
	}
	x.record.Backend = b
	if to := x.way(b).tls; to != nil && to.Broken != "" {
		return x.fail(to.Broken)
	}
	if len(b.Endpoints) > 0 {
		return x.limit()
	}
	if x.clientLeft() {
		return x.fail(policy.ClientClosed)
	}
	if b.Reason != "" {
		return x.fail(b.Reason)
	}
	return x.fail(policy.NoEndpoints)
}
