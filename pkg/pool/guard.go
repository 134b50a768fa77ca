package pool

import (
	"errors"
	"fmt"
	"net/netip"
)

// errDenied is a connection that was refused before it was made.
var errDenied = errors.New("the address may not be reached through an Ingress")

// guard decides which addresses may be connected to. It sees the address itself, after a name was resolved, so that no name, however
// it changes, leads to what a tenant must not reach: this host's own services, the cloud's metadata service, the API server.
type guard struct {
	allow    []netip.Prefix
	loopback bool
	deny     []netip.Prefix
}

// check returns an error for an address that is refused.
func (g *guard) check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if !g.refuses(addr) || within(g.allow, addr) {
		return nil
	}
	return fmt.Errorf("%w: %s", errDenied, addr)
}

func (g *guard) refuses(addr netip.Addr) bool {
	switch {
	case !addr.IsValid():
		return true
	case addr.IsLoopback():
		return !g.loopback
	case addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr.IsUnspecified():
		return true
	}
	// 0.0.0.0/8 is this host on Linux; the last address is broadcast; the prefixes of translation (RFC 6052, 6to4, Teredo) carry an
	// IPv4 address that would have to be looked at as well.
	return within(neverEndpoints, addr) || within(g.deny, addr)
}

// neverEndpoints are further ranges that no endpoint has. Never written.
var neverEndpoints = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/96"), // IPv4-compatible, long deprecated
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
