package proxy

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/usher-ingress/usher/pkg/pool"
)

// Where the values of single-valued fields stand in exchange.values.
const (
	slotTE = iota
	slotConnection
	slotHSTS
	slotServer
	slotReason
	valueSlots
)

// put sets a field to one value without allocating. The value is valid until the end of the exchange, which is as long as anybody may
// look at the map.
func (x *exchange) put(h http.Header, name string, slot int, value string) {
	x.values[slot] = value
	h[name] = x.values[slot : slot+1 : slot+1]
}

// headers makes the request that goes upstream. The client's own header map is edited in place and sent on.
func (x *exchange) headers() bool {
	h := x.r.Header
	came := x.sift(h)
	x.identify(&came)
	x.vouch()
	x.out = &x.blank
	if x.body != nil {
		x.out = new(http.Request) // a transport may hold it for a moment longer than the request takes
	}
	*x.out = *x.r
	x.out.Body = http.NoBody
	x.url.Opaque, x.url.RawQuery, _ = strings.Cut(x.ask.Target, "?")
	x.url.ForceQuery = x.url.RawQuery == "" && len(x.url.Opaque) < len(x.ask.Target)
	x.out.URL = &x.url
	if x.body != nil {
		target := x.url
		x.out.URL = &target
	}
	x.out.RequestURI = ""
	x.out.Close = false
	x.out.Host = x.host
	if vhost := x.set.Upstream.VHost; vhost != "" {
		x.out.Host = vhost
	}
	if x.web.text {
		x.out.ContentLength = -1
	}
	if came.upgrade {
		x.put(h, "Connection", slotConnection, "Upgrade")
		x.askExtended(h)
	}
	x.call.Timeouts, x.call.MaxConns = x.timeouts(), x.set.Overload.MaxConnections
	x.call.Fresh = x.body != nil && x.body.length > replayBound && !x.body.whole
	return false
}

// say adds a field to the request, besides what the client's map holds.
func (x *exchange) say(name, value string) {
	x.call.Fields = append(x.call.Fields, pool.Field{Name: name, Value: value})
}

// identify says who is asking and for what (reference: ingress-nginx's proxy_set_header lines). What the client wrote into these
// fields is replaced, unless it is a trusted proxy.
func (x *exchange) identify(came *cameWith) {
	x.forwardedFor(came.forwardedFor)
	proto := x.ask.Scheme
	if x.forwarded.proto != "" {
		proto = x.forwarded.proto
	}
	for _, value := range came.forwardedHost {
		x.say("X-Original-Forwarded-Host", value)
	}
	x.say("X-Forwarded-Host", x.host)
	x.say("X-Forwarded-Port", x.port())
	x.say("X-Forwarded-Proto", proto)
	x.say("X-Forwarded-Scheme", proto)
	x.say("X-Scheme", proto)
	x.say("X-Real-Ip", x.record.Client)
	if x.record.ID != "" {
		x.say("X-Request-Id", x.record.ID)
	}
	if x.set.Forwarded.OriginalURI {
		delete(x.r.Header, "X-Original-Uri")
		x.say("X-Original-Uri", x.ask.Target)
	}
}

// forwardedFor replaces X-Forwarded-For by the client's address, or appends the peer's where the whole chain is wanted and trusted.
func (x *exchange) forwardedFor(came []string) {
	for _, value := range came {
		x.say("X-Original-Forwarded-For", value)
	}
	value := x.record.Client
	if f := &x.set.Forwarded; came != nil && f.ComputeFull && f.Use && x.forwarded.trusted {
		value = joined(came) + ", " + addressOf(x.r.RemoteAddr)
	}
	x.say("X-Forwarded-For", value)
}

// port is the one that the client used: a trusted proxy's word, else what Host says, else the scheme's. Our own is no answer, since a
// Service or load balancer maps it.
func (x *exchange) port() string {
	if x.forwarded.port != "" {
		return x.forwarded.port
	}
	if i := strings.LastIndexByte(x.host, ':'); i >= 0 && isDigits(x.host[i+1:]) {
		return x.host[i+1:]
	}
	if x.ask.Scheme == "https" {
		return "443"
	}
	return "80"
}

// cameWith is what sift found in the client's fields that decides about others.
type cameWith struct {
	connection, te              []string
	forwardedFor, forwardedHost []string
	upgrade                     bool // one is asked for, and the field Upgrade says to what
}

// sift removes from the client's fields, in one pass, what belongs to its connection (RFC 9110 section 7.6.1), what Usher says itself
// (identify), and Proxy, which CGI programs take for a setting (httpoxy). "TE: trailers" stays, since gRPC requires it (RFC 9110
// section 10.1.4).
func (x *exchange) sift(h http.Header) (came cameWith) {
	for name, values := range h {
		switch name {
		case "Connection":
			came.connection = values
		case "Te":
			came.te = values
		case loopField:
			x.passed = values
			continue
		case "Upgrade":
			came.upgrade = true // in HTTP/2 that is an extended CONNECT, see package http2
			continue
		case "X-Forwarded-For":
			came.forwardedFor = values
		case "X-Forwarded-Host":
			came.forwardedHost = values
		case "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Real-Ip",
			"X-Original-Forwarded-For", "X-Original-Forwarded-Host",
			"Ssl-Client-Cert", "Ssl-Client-Verify", "Ssl-Client-Subject-Dn", "Ssl-Client-Issuer-Dn",
			"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Transfer-Encoding", "Trailer", "Proxy":
		case "X-Request-Id":
			if x.record.ID == "" {
				continue
			}
		default:
			if x.forwarded.whole || !claimsForwarding(name) {
				continue
			}
		}
		delete(h, name)
	}
	if x.set.Headers.KeepUnderscores {
		dropLookalikes(h)
	}
	asked := false
	if came.connection != nil {
		asked = dropNamed(h, came.connection)
		if listHas(came.connection, "X-Forwarded-For") {
			came.forwardedFor = nil
		}
		if listHas(came.connection, "X-Forwarded-Host") {
			came.forwardedHost = nil
		}
	}
	if came.upgrade && !asked {
		came.upgrade = false
		delete(h, "Upgrade")
	}
	if came.te != nil && listHas(came.te, "trailers") {
		x.put(h, "Te", slotTE, "trailers")
	}
	return came
}

// claimsForwarding tells whether a field says what a proxy in front of us did, beyond those that Usher says itself: X-Forwarded-Prefix,
// -Ssl, -User and their kin, and Forwarded (RFC 7239). Applications believe these, so a stranger's word does not reach them.
func claimsForwarding(name string) bool {
	return strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded"
}

// dropNamed removes the fields that Connection names, and reports whether it asks for an upgrade.
func dropNamed(h http.Header, connection []string) (upgrade bool) {
	for _, line := range connection {
		for line != "" {
			var option string
			option, line, _ = strings.Cut(line, ",")
			option = strings.TrimSpace(option)
			switch {
			case strings.EqualFold(option, "upgrade"):
				upgrade = true
			case option == "", strings.EqualFold(option, "close"), strings.EqualFold(option, "keep-alive"), strings.EqualFold(option, "te"):
			default:
				delete(h, textproto.CanonicalMIMEHeaderKey(option))
			}
		}
	}
	return upgrade
}

// listHas tells whether a list has an item, in any case.
func listHas(lines []string, item string) bool {
	for _, line := range lines {
		for line != "" {
			var found string
			found, line, _ = strings.Cut(line, ",")
			if strings.EqualFold(strings.TrimSpace(found), item) {
				return true
			}
		}
	}
	return false
}
