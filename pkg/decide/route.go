package decide

import (
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// serve refuses what no handler gets to see. Servers do that while they read a request, by the same function.
func (d *Decision) serve() bool {
	r := d.Request
	if r.Parsed {
		return false
	}
	e := field.Check(r.Method, r.Host, r.Target)
	if e == nil {
		_, e = field.DecodePath(d.Ask.Target)
	}
	if e == nil {
		return false
	}
	d.Answer.Detail = e.Error()
	if e.Status == 405 {
		d.Answer.Allow = field.Methods
	}
	return d.answer(policy.Answer{Status: e.Status, Reason: policy.BadRequest})
}

// OPTIONS asks what a server can do. Mostly that is for the endpoint to say; Usher answers where nobody after it may be asked.

// options answers a request for the options of the server as a whole, which is no route's ("*", RFC 9110 section 9.3.7), and one that
// may not be forwarded any further (Max-Forwards, section 7.6.2). A larger Max-Forwards is counted down.
func (d *Decision) options() bool {
	r := d.Request
	if r.Method != "OPTIONS" {
		return false
	}
	if !forServer(r.Target) {
		hops, err := strconv.ParseUint(first(r.Header["Max-Forwards"]), 10, 32)
		if err != nil {
			return false
		}
		if hops > 0 {
			d.hops = strconv.FormatUint(hops-1, 10)
			return false
		}
	}
	d.Answer.Allow = field.Methods
	return d.answer(policy.Answer{Status: 200})
}

// forServer recognises "*", and what stands for it in absolute-form (RFC 9112 section 3.2.4).
func forServer(target string) bool {
	_, rest, absolute := strings.Cut(target, "://")
	return target == "*" || absolute && target[0] != '/' && !strings.ContainsAny(rest, "/?")
}

// route finds what answers host and path.
func (d *Decision) route() bool {
	path, _, _ := strings.Cut(d.Ask.Target, "?")
	path, err := route.Normalize(path)
	if err != nil {
		d.Answer.Detail, d.Answer.Close = err.Error(), true // whoever says such things is not listened to further
		return d.fail(policy.BadRequest)
	}
	d.Ask.Path = path
	d.Match = d.Table.Lookup(route.Query{Host: d.Ask.Named, Path: path})
	switch {
	case d.Match.Host == nil && path == "/healthz" && d.Request.Method == "GET": // a load balancer in front of us knows no host
		return d.answer(policy.Answer{Status: 200})
	case d.Match.Route == nil:
		return d.Request.TLS && d.clientCert() || d.fail(d.Match.Reason)
	case d.Match.Host != nil && d.Match.Host.Passthrough != nil && d.Request.TLS:
		return d.fail(policy.Misdirected)
	}
	if set := d.Match.Route.Policy; set != nil {
		d.Set = set
	}
	return false
}

// redirect makes the decisions that come before any backend is looked at. The client's certificate is judged before all of them, as
// in nginx; plain HTTP has none, so there a redirect to HTTPS goes before.
func (d *Decision) redirect() bool {
	if d.Request.TLS && d.clientCert() {
		return true
	}
	if a := d.Set.Early(&d.Ask, d.Match.Host != nil && d.Match.Host.TLS); a.Status != 0 {
		if a.Status >= 400 {
			d.Phase = policy.PhaseAccess
		}
		return d.answer(a)
	}
	return !d.Request.TLS && d.clientCert()
}
