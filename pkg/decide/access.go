package decide

import (
	"net/netip"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// access keeps a route that cannot be served to itself: it answers 503 and never falls through to a wider one.
func (d *Decision) access() bool {
	r := d.Match.Route
	primary := d.Table.Backend(r)
	switch {
	case r.Broken != "":
		return d.fail(r.Broken)
	case primary == nil:
		return d.fail(policy.NoService)
	}
	d.Upstream = d.upstream(d.side(primary))
	switch b := d.Upstream.Backend; {
	case d.Upstream.TLS != nil && d.Upstream.TLS.Broken != "":
		return d.fail(d.Upstream.TLS.Broken)
	case len(b.Endpoints) > 0:
		return false
	case b.Reason != "":
		return d.fail(b.Reason)
	}
	return d.fail(policy.NoEndpoints)
}

// Lacks reports whether all that the request lacks is an endpoint, which may come while it waits.
func (d *Decision) Lacks() bool {
	b := d.Upstream.Backend
	return b != nil && len(b.Endpoints) == 0 && (d.Upstream.TLS == nil || d.Upstream.TLS.Broken == "")
}

// side is the route's own backend, or its canary (policy.Canary). A client that has a session keeps to its side, whatever the weight
// says, unless the route asks for ingress-nginx's legacy behaviour. A canary without endpoints takes nothing; as in ingress-nginx it
// does not stand in for a primary without endpoints either, so that what is broken is seen by all and not by some.
func (d *Decision) side(primary *route.Backend) *route.Backend {
	canary := d.canary()
	if canary == nil || len(canary.Endpoints) == 0 || len(primary.Endpoints) == 0 {
		return primary
	}
	if sticky := &d.Set.Sticky; sticky.On && !sticky.LegacyCanary && d.Table.StickyKeys != nil {
		d.Rule = "session"
		switch {
		case d.holds(canary):
			d.Canary = true
			return canary
		case d.holds(primary):
			return primary
		}
	}
	if d.Canary, d.Rule = d.Match.Route.Canary.Policy.Picks(fields(d.Request.Header), d.env.Chance()); d.Canary {
		return canary
	}
	return primary
}

func (d *Decision) canary() *route.Backend {
	c := d.Match.Route.Canary
	if c == nil || c.Broken != "" || c.Backend < 0 || c.Backend >= len(d.Table.Backends) {
		return nil
	}
	return d.Table.Backends[c.Backend]
}

func (d *Decision) holds(b *route.Backend) bool {
	token := d.Session()
	return token != "" && d.env.Holds(d, d.upstream(b), token)
}

// Session is the session cookie as the client sent it, or "".
func (d *Decision) Session() string {
	return policy.CookieValue(Cookies(d.Request.Header), d.Set.Sticky.Name)
}

// upstream is how a backend's endpoints are spoken to: as the route says, else as the Service does, else over HTTP/1.1.
func (d *Decision) upstream(b *route.Backend) Upstream {
	protocol := d.Set.Upstream.Protocol
	if protocol == policy.ProtocolUnset {
		protocol = b.Protocol
	}
	switch protocol {
	case policy.HTTPS, policy.GRPCS:
		return Upstream{b, protocol, d.Match.Route.UpstreamTLS}
	case policy.GRPC:
		return Upstream{b, protocol, nil}
	case policy.AutoHTTP:
		if d.Ask.Scheme == "https" {
			return Upstream{b, policy.HTTPS, d.Match.Route.UpstreamTLS}
		}
	}
	return Upstream{b, policy.HTTP, nil}
}

// limit holds a client to the limits of the Ingress (policy.Limit). It comes after "no endpoints", as in ingress-nginx.
func (d *Decision) limit() bool {
	l := &d.Set.Limit
	if l.Connections > 0 || l.RPS > 0 || l.RPM > 0 {
		client, err := netip.ParseAddr(d.Client)
		if err == nil && l.Applies(client) {
			switch d.env.Count(l, d.Match.Route.Ingress, client) {
			case Within:
			case OverConnections:
				return d.deny(policy.Answer{Status: l.ConnStatus, Reason: policy.ConnectionLimit})
			default:
				return d.deny(policy.Answer{Status: l.RateStatus, Reason: policy.RateLimited})
			}
		}
	}
	d.Access = Allowed
	return false
}

// body refuses one that is announced as too large.
func (d *Decision) body() bool {
	return d.Set.Body.TooLarge(d.Request.Length) && d.fail(policy.BodyTooLarge)
}

// Cookies are all Cookie fields as one. HTTP/2 clients may send each cookie in a field of its own (RFC 9113 section 8.2.3).
func Cookies(h map[string][]string) string {
	if values := h["Cookie"]; len(values) > 1 {
		return strings.Join(values, "; ")
	}
	return first(h["Cookie"])
}

// fields are header fields as a canary's rules read them: all of one name as one.
type fields map[string][]string

// Get implements policy.Fields; name is canonical.
func (f fields) Get(name string) string {
	if name == "Cookie" {
		return Cookies(f)
	}
	return joined(f[name])
}
