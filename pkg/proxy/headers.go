package proxy

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Where the values of single-valued fields stand in exchange.values.
const (
	slotID = iota
	slotRealIP
	slotFor
	slotHost
	slotPort
	slotProto
	slotScheme
	slotForwardedScheme
	slotURI
	slotTE
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
	upgrade := x.dropHopByHop(h)
	x.identify(h)
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
	if upgrade {
		x.put(h, "Connection", slotConnection, "Upgrade")
	}
	x.call.Timeouts = x.timeouts()
	return false
}

// identify says who is asking and for what (reference: ingress-nginx's proxy_set_header lines). What the client wrote into these
// fields is replaced, unless it is a trusted proxy.
func (x *exchange) identify(h http.Header) {
	x.forwardedFor(h)
	proto := x.ask.Scheme
	if x.forwarded.proto != "" {
		proto = x.forwarded.proto
	}
	if came, ok := h["X-Forwarded-Host"]; ok {
		h["X-Original-Forwarded-Host"] = came
	} else {
		delete(h, "X-Original-Forwarded-Host")
	}
	x.put(h, "X-Forwarded-Host", slotHost, x.host)
	x.put(h, "X-Forwarded-Port", slotPort, x.port())
	x.put(h, "X-Forwarded-Proto", slotProto, proto)
	x.put(h, "X-Forwarded-Scheme", slotForwardedScheme, proto)
	x.put(h, "X-Scheme", slotScheme, proto)
	x.put(h, "X-Real-Ip", slotRealIP, x.record.Client)
	if x.record.ID != "" {
		x.put(h, "X-Request-Id", slotID, x.record.ID)
	}
	if x.set.Forwarded.OriginalURI {
		x.put(h, "X-Original-Uri", slotURI, x.ask.Target)
	}
}

// forwardedFor replaces X-Forwarded-For by the client's address, or appends the peer's where the whole chain is wanted and trusted.
func (x *exchange) forwardedFor(h http.Header) {
	came, ok := h["X-Forwarded-For"]
	if ok {
		h["X-Original-Forwarded-For"] = came
	} else {
		delete(h, "X-Original-Forwarded-For")
	}
	value := x.record.Client
	if f := &x.set.Forwarded; ok && f.ComputeFull && f.Use && x.forwarded.trusted {
		value = joined(came) + ", " + addressOf(x.r.RemoteAddr)
	}
	x.put(h, "X-Forwarded-For", slotFor, value)
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

// dropHopByHop removes what belongs to the client's connection (RFC 9110 section 7.6.1), and reports whether an upgrade is asked for,
// of which the field Upgrade stays. "TE: trailers" stays too, since gRPC requires it (RFC 9110 section 10.1.4).
func (x *exchange) dropHopByHop(h http.Header) (upgrade bool) {
	if connection, ok := h["Connection"]; ok {
		upgrade = dropNamed(h, connection)
		delete(h, "Connection")
	}
	if _, ok := h["Upgrade"]; !ok || x.r.ProtoMajor != 1 {
		upgrade = false
	}
	if !upgrade {
		delete(h, "Upgrade")
	}
	if te, ok := h["Te"]; ok {
		delete(h, "Te")
		if listHas(te, "trailers") {
			x.put(h, "Te", slotTE, "trailers")
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	return upgrade
}

// hopByHop are the other fields that end here, and Proxy, which CGI programs take for a setting (httpoxy). Never written.
var hopByHop = [...]string{"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Transfer-Encoding", "Trailer", "Proxy"}

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
