// Package policy says what a route may ask for and decides it: one behaviour per file, each with its keys, its field of Set and its
// decision.
//
// An option has one representation: the text of an annotation or ConfigMap key becomes a field of Set, and the request path reads
// that field. A new annotation is a row in its behaviour's file, nothing else. The package is pure: no clock, no chance, no I/O.
package policy

import "slices"

// Set is every effective setting of a route. It is immutable once parsed and shared by all routes that have the same settings.
type Set struct {
	URLRedirect URLRedirect
	Redirect    Redirect
	HSTS        HSTS
	ACME        ACME
	Forwarded   Forwarded
	Timeouts    Timeouts
	Body        Body
	Upstream    Upstream
	Retry       Retry
	Headers     Headers
	Sticky      Sticky
	Balance     Balance
	Canary      Canary
	Limit       Limit
	Overload    Overload
	Health      Health
	Mirror      Mirror
	TLS         TLS
	Stream      Stream
	HTTP2       HTTP2

	ClientCert  ClientCert
	UpstreamTLS UpstreamTLS

	TicketKey       TicketKey // from the ConfigMap only, like what follows
	RejectHandshake bool      // no certificate, no handshake

	// Deny, when not empty, closes every path of the Ingress with 503 and this reason: a setting that restricts access could not be
	// honoured, so nobody gets in.
	Deny Reason

	// DenyHost is that Deny is for a server-snippet, which in nginx stands for the whole host.
	DenyHost bool

	// RegexPaths tells that ingress-nginx would read the paths of the Ingress as regular expressions, which this release does not.
	RegexPaths bool

	settings []Setting
}

// Setting is one value somebody wrote, and where.
type Setting struct {
	Key    *Key
	Value  string
	Origin Origin
}

// Default is the Set of somebody who configured nothing.
func Default() *Set {
	return &Set{
		URLRedirect: defaultURLRedirect(),
		Redirect:    defaultRedirect(),
		HSTS:        defaultHSTS(),
		Forwarded:   defaultForwarded(),
		Timeouts:    defaultTimeouts(),
		Body:        defaultBody(),
		Upstream:    defaultUpstream(),
		Retry:       defaultRetry(),
		Headers:     defaultHeaders(),
		Sticky:      defaultSticky(),
		Balance:     defaultBalance(),
		Canary:      defaultCanary(),
		Limit:       defaultLimit(),
		Health:      defaultHealth(),
		Mirror:      defaultMirror(),
		TLS:         DefaultTLS(),
		Stream:      defaultStream(),

		ClientCert: defaultClientCert(), UpstreamTLS: defaultUpstreamTLS(),
	}
}

// Settings lists every supported key with its effective value and origin, in the order of Keys. A key nobody wrote has its
// default and the zero Origin.
func (s *Set) Settings() []Setting {
	written := map[*Key]Setting{}
	for _, w := range s.settings {
		written[w.Key] = w
	}
	var out []Setting
	for _, k := range Keys() {
		if k.parse == nil {
			continue
		}
		if w, ok := written[k]; ok {
			out = append(out, w)
			continue
		}
		out = append(out, Setting{Key: k, Value: k.Default})
	}
	return out
}

// Wrote reports whether somebody wrote the option of this name, also if the value is the default.
func (s *Set) Wrote(name string) bool {
	return slices.ContainsFunc(s.settings, func(w Setting) bool { return w.Key.Name == name })
}

// Request is what a decision may know about a request. Host is without port and in lower case; Path is the normalised path, Target
// the client's own bytes.
type Request struct {
	Method string
	Scheme string // "http" or "https", as the client used it
	TLS    bool   // of the connection itself, whatever Scheme is believed to be
	Named  string // the host that routes are found by, in lower case and without port; Host may be a forwarded one
	Host   string
	Path   string
	Target string // path and query exactly as sent
}

// Phase is a step of a request's life, in the one order all requests go through.
type Phase string

// The phases, in order. The proxy runs them by these names and explain prints them.
const (
	PhaseClient   Phase = "client"   // who is asking: PROXY protocol, trusted forwarded headers
	PhaseRoute    Phase = "route"    // table, host, path
	PhaseRedirect Phase = "redirect" // redirects and preflight answers
	PhaseAccess   Phase = "access"   // limits, access lists, authentication
	PhaseBody     Phase = "body"     // body limits and buffering
	PhaseHeaders  Phase = "headers"  // rewrite and upstream request headers
	PhasePick     Phase = "pick"     // which backend and endpoint
	PhaseForward  Phase = "forward"  // sending, with the retry edge
	PhaseAnswer   Phase = "answer"   // response headers, error pages
)

// Phases lists the phases in order.
func Phases() []Phase {
	return []Phase{PhaseClient, PhaseRoute, PhaseRedirect, PhaseAccess, PhaseBody, PhaseHeaders, PhasePick, PhaseForward, PhaseAnswer}
}

// Answer is a response that Usher makes itself. The zero Answer means: go on.
type Answer struct {
	Status   int
	Reason   Reason
	Location string // for redirects
	Body     string // text in place of a page
}

// Early makes the decisions that come before a backend is looked at, and returns the first Answer, or the zero one. As in ingress-nginx a
// redirect of the Ingress's own goes before that to HTTPS, and before everything that restricts access but a snippet.
func (s *Set) Early(r *Request, hostHasTLS bool) Answer {
	if a := s.URLRedirect.decide(r); a.Status != 0 {
		return a
	}
	if a := s.Redirect.decide(r, hostHasTLS); a.Status != 0 {
		return a
	}
	if s.Deny != "" {
		return Answer{Status: 503, Reason: s.Deny}
	}
	return Answer{}
}
