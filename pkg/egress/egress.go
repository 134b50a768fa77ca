// Package egress decides which addresses requests may be sent to. Whoever may write a Service or an EndpointSlice chooses addresses, and
// Usher is where others are not: inside the cluster's network, beside the cloud's metadata service, with a right of its own at the API
// server. So some addresses are no endpoint's, whatever an object says.
//
// The resolver asks for each address of an EndpointSlice, so that a Diagnostic names it, and the pool asks again for each connection,
// after a name was resolved, so that no name, however it changes, leads where it must not.
//
//	rules := egress.Rules{Loopback: true}
//	rules.Refuses(netip.MustParseAddrPort("169.254.169.254:80")) // "link-local"
package egress

import (
	"net/netip"
	"slices"
)

// Rules say which addresses are refused. The zero value is a safe one.
type Rules struct {
	Allow    []netip.Prefix   // opens what follows, but for Own
	Loopback bool             // opens loopback
	Deny     []netip.Prefix   // the API server as Usher reaches it, and the addresses of Usher's Pod
	Servers  []netip.AddrPort // where the API servers themselves listen
	Own      Listeners        // never opened
}

// Itself is why an address of Usher's own is refused, which Allow does not change.
const Itself = "Usher itself"

// Listeners are the ports of this process.
type Listeners struct {
	Bound []netip.AddrPort // an unspecified address stands for all of Local and loopback
	Local []netip.Addr     // the machine's addresses
}

// Refuses says why a connection to an address is refused; "" is that it is not.
func (r *Rules) Refuses(to netip.AddrPort) (why string) {
	addr := to.Addr().Unmap().WithZone("")
	if r.Own.has(addr, to.Port()) {
		return Itself
	}
	why = r.kind(addr)
	if why == "" && slices.Contains(r.Servers, netip.AddrPortFrom(addr, to.Port())) {
		why = "the API server"
	}
	if why == "" || within(r.Allow, addr) {
		return ""
	}
	return why
}

func (l *Listeners) has(addr netip.Addr, port uint16) bool {
	for _, b := range l.Bound {
		if b.Port() != port {
			continue
		}
		at := b.Addr().Unmap().WithZone("")
		if at == addr || at.IsUnspecified() && (addr.IsLoopback() || addr.IsUnspecified() || slices.Contains(l.Local, addr)) {
			return true
		}
	}
	return false
}

// kind is what makes an address none of an endpoint.
func (r *Rules) kind(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return "not an address"
	case addr.IsLoopback():
		if r.Loopback {
			return ""
		}
		return "loopback"
	case addr.IsLinkLocalUnicast():
		return "link-local"
	case addr.IsMulticast():
		return "multicast"
	case addr.IsUnspecified():
		return "unspecified"
	case within(metadata, addr):
		return "cloud metadata"
	case within(never, addr):
		return "no host's"
	case within(r.Deny, addr):
		return "the API server or Usher's Pod"
	}
	return ""
}

// metadata are the services of clouds for their machines beyond 169.254.0.0/16 and fe80::/10, which hold most of them: those of AWS,
// Google, Tencent, IBM, Huawei and others. They hand out the machine's credentials. Never written.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),          // AWS
	netip.MustParsePrefix("100.100.100.200/32"),     // Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),       // Azure
	netip.MustParsePrefix("192.0.0.0/24"),           // Oracle's 192.0.0.192; IANA's for protocols
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // Oracle
	netip.MustParsePrefix("fd20:ce::254/128"),       // Google
	netip.MustParsePrefix("fd00:42::42/128"),        // Scaleway
}

// never are further ranges that no endpoint has: 0.0.0.0/8 is this host on Linux, the next is broadcast, and the prefixes of translation
// (RFC 6052, RFC 8215, SIIT, 6to4, Teredo) carry an IPv4 address that would have to be looked at as well. Never written.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/96"), // IPv4-compatible, long deprecated
	netip.MustParsePrefix("::ffff:0:0:0/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}
