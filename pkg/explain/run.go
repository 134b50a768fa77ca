package explain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// run is one explanation in the making: a decision, put into words.
type run struct {
	decide.Decision
	asked *asked
	table *route.Table
	out   *Explanation
}

// note says what came of a phase.
func (x *run) note(phase policy.Phase, format string, args ...any) {
	x.out.Phases = append(x.out.Phases, Step{phase, strings.TrimSpace(fmt.Sprintf(format, args...))})
}

func (x *run) all() {
	if x.passedThrough() {
		return
	}
	decide.Decide(x.table, &x.asked.request, world{x.asked}, &x.Decision)
	x.whoAsks()
	if x.Ask.Path != "" {
		x.claim()
		x.certificate()
		x.clientCert()
		x.backend()
	}
	if x.Sends() {
		x.forward()
	} else {
		x.answered()
	}
	x.diagnostics()
}

func (x *run) whoAsks() {
	note := "the connection's own address"
	if x.Forwarded.Trusted {
		note = "forwarded headers are trusted from " + x.Request.Peer
	}
	x.note(policy.PhaseClient, "%s, %s", x.Client, note)
	path, _, _ := strings.Cut(x.Request.Target, "?")
	x.out.Request = Understood{Method: x.Request.Method, Scheme: x.Ask.Scheme, Host: x.Ask.Named, Path: path, Normalised: x.Ask.Path, Client: x.Client}
}

// answered is Usher's own answer: its cause, what the reason means and what to do about it.
func (x *run) answered() {
	if x.Rule != "" {
		x.side()
	}
	a := x.Answer
	doc := a.Reason.Explain()
	x.out.Answer = Answer{By: ByUsher, Status: a.Status, Reason: a.Reason, Location: a.Location, Cause: x.cause()}
	if a.Reason != "" {
		x.out.Answer.Meaning, x.out.Answer.Cure = doc.Doc, doc.Cure
	}
	switch {
	case a.Location != "":
		x.note(x.Phase, "%d %s", a.Status, a.Location)
	case x.Phase == policy.PhaseRoute && a.Reason != "":
		x.note(x.Phase, "%d: %s", a.Status, x.out.Answer.Cause)
	default:
		x.note(x.Phase, "%d %s", a.Status, a.Reason)
	}
}

// cause says in names why Usher answers.
func (x *run) cause() string {
	switch x.Answer.Reason {
	case "":
		if x.Answer.Allow != "" {
			return "OPTIONS with Max-Forwards 0, or for the server as a whole, is Usher's to answer"
		}
		return "GET /healthz for a host that nobody declares is Usher's own health check"
	case policy.BadRequest:
		if x.Phase != policy.PhaseRoute {
			return x.Answer.Detail
		}
		return fmt.Sprintf("path %q: %s; it escapes the root or holds a forbidden or broken escape", x.out.Request.Path, x.Answer.Detail)
	case policy.NoHost, policy.NoPath:
		return x.unclaimed()
	case policy.Misdirected:
		return fmt.Sprintf("the TLS handshake is for %s, and the request for %s, whose handshakes have other settings", x.asked.server(), x.Ask.Named)
	case policy.HTTPSRedirect:
		if x.Set.Redirect.ForceSSL {
			return "force-ssl-redirect is on"
		}
		return fmt.Sprintf("a TLS section names %s, and the request came by plain HTTP", x.Match.Host.Name)
	case policy.Redirected:
		return x.Match.Route.Ingress.String() + " redirects every request"
	case policy.BodyTooLarge:
		return fmt.Sprintf("Content-Length %d, proxy-body-size %d", x.Request.Length, x.Set.Body.MaxSize)
	}
	return x.causeOfClosed()
}

// causeOfClosed is the cause where what stands in the way is an object.
func (x *run) causeOfClosed() string {
	reason, b, to := x.Answer.Reason, x.Upstream.Backend, x.Upstream.TLS
	switch {
	case x.Auth != nil && x.Access == decide.Denied && !x.Request.TLS:
		return "a request by plain HTTP shows no certificate"
	case x.Answer.Detail != "":
		return x.Answer.Detail
	case to != nil && to.Broken != "":
		return x.errorOn(to.Origin.Object, reason).Message
	case b != nil && b.Reason != "":
		return b.Detail
	}
	if auth := x.table.ClientAuth(x.Match); auth != nil && auth.Broken == reason {
		return spelled(x.errorOn(auth.Origin.Object, reason))
	}
	if x.Set.Deny == reason {
		return spelled(x.errorOn(x.Match.Route.Ingress, reason))
	}
	for _, d := range x.table.Diagnostics {
		if d.Reason == reason && d.Origin == x.Match.Route.Origin {
			return d.Message
		}
	}
	return x.errorOn(x.Match.Route.Ingress, reason).Message
}

// errorOn is the Diagnostic about an object that has a reason, or the zero one.
func (x *run) errorOn(object policy.Ref, reason policy.Reason) route.Diagnostic {
	for _, d := range x.table.Diagnostics {
		if d.Reason == reason && d.Origin.Object == object && d.Severity == route.Error {
			return d
		}
	}
	return route.Diagnostic{}
}

func spelled(d route.Diagnostic) string {
	if d.Message == "" {
		return ""
	}
	return d.Origin.String() + ": " + d.Message
}

func (x *run) forward() {
	if x.Request.Length > 0 {
		x.note(policy.PhaseBody, "%d bytes are within the limit", x.Request.Length)
	}
	x.note(policy.PhaseHeaders, "Host: %s, X-Real-IP: %s, X-Forwarded-Proto: %s", x.TargetHost(), x.Client, x.Ask.Scheme)
	x.side()
	x.note(policy.PhasePick, "%s", x.choice())
	tries, set := "on every endpoint in turn", x.Set
	if set.Retry.Tries > 0 {
		tries = "on up to " + count(set.Retry.Tries, "endpoint")
	}
	if set.Retry.Off {
		tries = "once"
	}
	x.note(policy.PhaseForward, "%s, tried %s; connect within %s, silence up to %s", x.out.Backend.Protocol, tries, set.Timeouts.Connect, set.Timeouts.Read)
	if hsts := x.HSTS(); hsts != "" {
		x.note(policy.PhaseAnswer, "Strict-Transport-Security: %s", hsts)
	}
	x.out.Answer, x.out.Sent = Answer{By: ByEndpoint}, x.sent()
}

// sent is the request that an endpoint gets.
func (x *run) sent() *Sent {
	out := &Sent{Target: x.Ask.Target, Host: x.TargetHost(), Header: map[string][]string{}}
	for name, values := range x.Request.Header {
		out.Header[name] = values
	}
	for _, name := range x.Edits.Remove {
		delete(out.Header, name)
	}
	for _, f := range x.Edits.Replace {
		out.Header[f.Name] = []string{f.Value}
	}
	for _, f := range x.Edits.Add {
		out.Header[f.Name] = append(out.Header[f.Name], f.Value)
	}
	return out
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
