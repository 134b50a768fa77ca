package explain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// run is one explanation in the making.
type run struct {
	table   *route.Table
	request *parsed
	out     *Explanation

	path    string // normalised
	match   route.Match
	backend *route.Backend
}

// Note implements policy.Env: it records what the request path decided.
func (x *run) Note(phase policy.Phase, outcome string) {
	x.out.Phases = append(x.out.Phases, Step{phase, outcome})
}

// all walks the phases in their order and stops where the request path would answer by itself.
func (x *run) all() {
	x.whoAsks()
	if x.passedThrough() || !x.normalise() {
		return
	}
	found := x.lookup()
	x.certificate()
	if !found && x.request.tls {
		x.clientCert()
	}
	if found && x.lets() && x.access() && x.body() {
		x.forward()
	}
	x.sortPhases()
	x.diagnostics()
}

// whoAsks believes forwarded headers as far as the ConfigMap trusts the peer.
func (x *run) whoAsks() {
	r, note := x.request, "the connection's own address"
	if set := x.table.Policy; set != nil && set.Forwarded.Trusts(r.peer) {
		note = "forwarded headers are trusted from " + r.peer.String()
		x.believe(&set.Forwarded)
	}
	x.Note(policy.PhaseClient, fmt.Sprintf("%s, %s", r.client, note))
	x.out.Request = Understood{Method: r.method, Scheme: r.scheme, Host: r.host, Path: r.path, Client: r.client.String()}
}

// believe reads the forwarded headers as the proxy does: the address, and unless only that is trusted, scheme and host. The route is
// found by Host all the same.
func (x *run) believe(f *policy.Forwarded) {
	r := x.request
	if c := f.ClientOf(strings.Join(r.header.Values(f.Header), ", ")); c.IsValid() {
		r.client = c
	}
	if !f.Use {
		return
	}
	switch strings.ToLower(firstItem(r.header.Get("X-Forwarded-Proto"))) {
	case "http", "ws":
		r.scheme = "http"
	case "https", "wss":
		r.scheme = "https"
	}
	if h := firstItem(r.header.Get("X-Forwarded-Host")); h != "" {
		r.seen = h
	}
}

func firstItem(list string) string {
	item, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(item)
}

func (x *run) normalise() bool {
	path, err := route.Normalize(x.request.path)
	if err != nil {
		x.answer(Answer{Status: 400, Reason: policy.BadRequest,
			Cause: fmt.Sprintf("path %q: %v; it escapes the root or holds a forbidden or broken escape", x.request.path, err)})
		x.Note(policy.PhaseRoute, "400: the path cannot be normalised")
		return false
	}
	x.path, x.out.Request.Normalised = path, path
	return true
}

// lets runs what comes before a backend is looked at. The client's certificate goes before a redirect, but for plain HTTP.
func (x *run) lets() bool {
	if x.request.tls {
		return x.clientCert() && x.early()
	}
	return x.early() && x.clientCert()
}

// early runs the policy's own decisions and tells whether the request goes on.
func (x *run) early() bool {
	r, set := x.request, x.match.Route.Policy
	if set == nil {
		return true
	}
	a := set.Early(&policy.Request{Method: r.method, Scheme: r.scheme, TLS: r.tls, Named: r.host, Host: bareHost(r.seen), Path: x.path, Target: r.target},
		x.match.Host != nil && x.match.Host.TLS, x)
	if a.Status == 0 {
		return true
	}
	x.answer(Answer{Status: a.Status, Reason: a.Reason, Location: a.Location, Cause: x.causeOf(a)})
	return false
}

// causeOf says in names why the policy answered.
func (x *run) causeOf(a policy.Answer) string {
	if a.Reason == policy.HTTPSRedirect {
		if x.match.Route.Policy.Redirect.ForceSSL {
			return "force-ssl-redirect is on"
		}
		return fmt.Sprintf("a TLS section names %s, and the request came by plain HTTP", x.match.Host.Name)
	}
	if a.Reason == policy.Redirected {
		return x.match.Route.Ingress.String() + " redirects every request"
	}
	for _, d := range x.table.Diagnostics {
		if d.Reason == a.Reason && d.Origin.Object == x.match.Route.Ingress && d.Severity == route.Error {
			return d.Origin.String() + ": " + d.Message
		}
	}
	return ""
}

// body judges a declared Content-Length.
func (x *run) body() bool {
	set := x.match.Route.Policy
	length, err := strconv.ParseInt(x.request.header.Get("Content-Length"), 10, 64)
	if set == nil || err != nil {
		return true
	}
	if set.Body.TooLarge(length) {
		x.answer(Answer{Status: 413, Reason: policy.BodyTooLarge, Cause: fmt.Sprintf("Content-Length %d, proxy-body-size %d", length, set.Body.MaxSize)})
		x.Note(policy.PhaseBody, "413: the body is too large")
		return false
	}
	x.Note(policy.PhaseBody, fmt.Sprintf("%d bytes are within the limit", length))
	return true
}

// access finds the backend, or the cause of the 503, in the proxy's order.
func (x *run) access() bool {
	r := x.match.Route
	x.backend = x.chooseBackend()
	x.describeBackend()
	x.describeUpstreamTLS(r.UpstreamTLS)
	var reason policy.Reason
	cause := ""
	switch b := x.backend; {
	case r.Broken != "":
		reason = r.Broken
	case b == nil:
		reason = policy.NoService
	case x.spokenSecurely() && r.UpstreamTLS != nil && r.UpstreamTLS.Broken != "":
		reason, cause = r.UpstreamTLS.Broken, x.upstreamCause(r.UpstreamTLS)
	case len(b.Endpoints) > 0:
		return true
	case b.Reason != "":
		reason, cause = b.Reason, b.Detail
	default:
		reason = policy.NoEndpoints
	}
	if cause == "" {
		cause = x.brokenCause(reason)
	}
	x.answer(Answer{Status: statusOf(reason), Reason: reason, Cause: cause})
	x.Note(policy.PhaseAccess, fmt.Sprintf("%d: %s", statusOf(reason), reason))
	return false
}

// statusOf is what a reason answers with; a broken route answers 503 whatever broke it.
func statusOf(reason policy.Reason) int {
	if status := reason.Explain().Status; status != 0 {
		return status
	}
	return 503
}

// brokenCause is the message of the Diagnostic that broke the route.
func (x *run) brokenCause(reason policy.Reason) string {
	for _, d := range x.table.Diagnostics {
		if d.Reason == reason && d.Origin == x.match.Route.Origin {
			return d.Message
		}
	}
	for _, d := range x.table.Diagnostics {
		if d.Reason == reason && d.Origin.Object == x.match.Route.Ingress {
			return d.Message
		}
	}
	return ""
}

func (x *run) forward() {
	set := x.match.Route.Policy
	if set == nil {
		set = policy.Default()
	}
	host := x.request.seen
	if set.Upstream.VHost != "" {
		host = set.Upstream.VHost
	}
	x.Note(policy.PhaseHeaders, fmt.Sprintf("Host: %s, X-Real-IP: %s, X-Forwarded-Proto: %s", host, x.request.client, x.request.scheme))
	x.Note(policy.PhasePick, x.choice(set))
	tries := "on every endpoint in turn"
	if set.Retry.Tries > 0 {
		tries = "on up to " + count(set.Retry.Tries, "endpoint")
	}
	if set.Retry.Off {
		tries = "once"
	}
	x.Note(policy.PhaseForward, fmt.Sprintf("%s, tried %s; connect within %s, silence up to %s", x.out.Backend.Protocol, tries, set.Timeouts.Connect, set.Timeouts.Read))
	if x.request.scheme == "https" && set.HSTS.Value() != "" {
		x.Note(policy.PhaseAnswer, "Strict-Transport-Security: "+set.HSTS.Value())
	}
	x.out.Answer = Answer{By: ByEndpoint}
}

// answer fills in what the reason means and what to do about it.
func (x *run) answer(a Answer) {
	doc := a.Reason.Explain()
	a.By, a.Meaning, a.Cure = ByUsher, doc.Doc, doc.Cure
	x.out.Answer = a
}

// sortPhases puts the notes in the one order of phases; notes of the same phase keep theirs.
func (x *run) sortPhases() {
	var sorted []Step
	for _, phase := range policy.Phases() {
		for _, s := range x.out.Phases {
			if s.Phase == phase {
				sorted = append(sorted, s)
			}
		}
	}
	x.out.Phases = sorted
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
