// Package decide makes every decision about a request that is made before a byte of it goes to an endpoint: who asks and who is
// trusted, what host and path it is for, whether it is let in, what Usher answers itself, which endpoints may have it, and what they
// are told. It is pure. A Decision is a value: package proxy carries it out, package explain puts it into words, tests compare it, and
// none of them has a rule of its own.
//
//	Decide(table, request, env, &decision)
//
// The phases stand in one list, phases. Each either answers, which ends the decision, or leaves it to the next. What a decision has to
// ask of the world (chance, counters, whether a certificate is good) it asks of an Env; that of explain answers without acting.
package decide

import (
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Decision is what becomes of a request. A Decision is used for one request at a time; Reset makes it ready for the next.
type Decision struct {
	Table   *route.Table
	Request *Request
	env     Env

	// Answer is Usher's own; without a status the request is to be sent to Upstream. Phase is that in which it was made, or the last.
	Answer Answer
	Phase  policy.Phase
	// Access is whether the request is let in. Nothing may be sent to an endpoint unless it is Allowed.
	Access Access

	Client    string         // the client's address, without port
	Forwarded Forwarded      // what a trusted peer says about the client
	Host      string         // as the client wrote it: sent to the endpoint unless VHost says otherwise, and in X-Forwarded-Host
	ID        string         // of the request; may be empty
	Ask       policy.Request // the request as policies see it
	Match     route.Match
	Set       *policy.Set // the route's settings, or the controller's where there is no route; never nil

	Auth        *policy.ClientCert // what is wanted of the client's certificate; nil where nothing is
	Certificate *Certificate       // what became of it; nil where nobody asked

	Upstream Upstream
	Canary   bool   // Upstream is the route's canary
	Rule     string // of the canary that said which side; empty where none was asked, "session" for a session cookie

	Web     Web
	Upgrade bool // the client asks for another protocol, by the field Upgrade
	Edits   Edits
	hops    string   // Max-Forwards, counted down; "" where there is none
	passed  []string // the client's CDN-Loop
}

// Access is whether a request is let in. Its zero value is that nobody could say so.
type Access uint8

// The outcomes.
const (
	Broken Access = iota
	Allowed
	Denied
)

// Answer is a response of Usher's own.
type Answer struct {
	policy.Answer
	Detail string // what is wrong, for the access log
	Allow  string // the field of the same name
	Close  bool   // the connection ends with it
}

// Upstream is the set of endpoints that may have a request, and how they are spoken to.
type Upstream struct {
	Backend  *route.Backend
	Protocol policy.Protocol    // HTTP, HTTPS, GRPC or GRPCS
	TLS      *route.UpstreamTLS // nil verifies and shows nothing, or there is no TLS
}

// phase is a step of the decision. run reports whether it answered.
type phase struct {
	name policy.Phase
	run  func(*Decision) (answered bool)
}

// phases is the one order of decisions. Never written.
var phases = [...]phase{
	{policy.PhaseClient, (*Decision).client},
	{policy.PhaseClient, (*Decision).serve},
	{policy.PhaseRoute, (*Decision).options},
	{policy.PhaseRoute, (*Decision).route},
	{policy.PhaseRedirect, (*Decision).redirect},
	{policy.PhaseAccess, (*Decision).access},
	{policy.PhaseAccess, (*Decision).limit},
	{policy.PhaseBody, (*Decision).body},
	{policy.PhaseHeaders, (*Decision).headers},
	{policy.PhasePick, (*Decision).loop},
}

// Decide makes d of a request and the table in use, which is nil before the first one. d is new, or was Reset.
func Decide(t *route.Table, r *Request, env Env, d *Decision) {
	d.Table, d.Request, d.env = t, r, env
	for i := range phases {
		if d.Phase = phases[i].name; phases[i].run(d) {
			return
		}
	}
}

// Reset forgets a request, and keeps the room that its Edits took.
func (d *Decision) Reset() {
	edits := d.Edits
	*d = Decision{}
	d.Edits = edits.empty()
}

// Sends reports whether the request is to be sent to Upstream.
func (d *Decision) Sends() bool { return d.Answer.Status == 0 && d.Access == Allowed }

// HSTS is the Strict-Transport-Security of the answer, or "".
func (d *Decision) HSTS() string {
	if d.Ask.Scheme != "https" {
		return ""
	}
	return d.Set.HSTS.Value()
}

// fail answers with the status that belongs to reason.
func (d *Decision) fail(reason policy.Reason) bool {
	return d.answer(policy.Answer{Status: reason.Status(), Reason: reason})
}

// deny answers somebody who is not let in.
func (d *Decision) deny(a policy.Answer) bool {
	d.Access, d.Phase = Denied, policy.PhaseAccess
	return d.answer(a)
}

func (d *Decision) answer(a policy.Answer) bool {
	d.Answer.Answer = a
	return true
}
