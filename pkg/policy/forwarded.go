package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Forwarded says who is believed about the client: which forwarded headers of a request,
// which PROXY protocol headers of a connection, and what is sent upstream. It is read from the ConfigMap only, since it is decided before the route is known.
//
// Unlike ingress-nginx, host, protocol and port are believed under the same condition as the address: only from TrustedCIDRs.
type Forwarded struct {
	ProxyProtocol   bool           // connections from Trusted begin with a PROXY protocol header
	ProxyTimeout    time.Duration  // how long that header may take
	Use             bool           // believe X-Forwarded-For, -Proto, -Host and -Port
	RealIP          bool           // believe the address header only
	Header          string         // which header holds the address, canonical form
	Trusted         []netip.Prefix // whose headers are believed
	ComputeFull     bool           // append to X-Forwarded-For instead of replacing it
	OriginalURI     bool           // send X-Original-URI
	GenerateRequest bool           // make an X-Request-ID where the client sent none
}

func defaultForwarded() Forwarded {
	return Forwarded{
		Header:          "X-Forwarded-For",
		Trusted:         []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		GenerateRequest: true,
		ProxyTimeout:    5 * time.Second,
	}
}

// Trusts reports whether a peer's forwarded headers may be believed at all.
func (f *Forwarded) Trusts(peer netip.Addr) bool {
	return (f.Use || f.RealIP) && f.inTrusted(peer.Unmap())
}

// ProxyHeader tells how long to wait for the PROXY protocol header with which a connection from peer begins; 0 is that none does. Those
// who are not trusted connect as clients do: the header of a stranger is never believed.
func (f *Forwarded) ProxyHeader(peer netip.Addr) time.Duration {
	if !f.ProxyProtocol || !f.inTrusted(peer.Unmap()) {
		return 0
	}
	return f.ProxyTimeout
}

// Believes reports whether a peer is one of those whose word about the client counts.
func (f *Forwarded) Believes(peer netip.Addr) bool { return f.inTrusted(peer.Unmap()) }

// TrustsEveryone reports whether any client can choose its own address: headers are believed and nobody said from whom.
func (f *Forwarded) TrustsEveryone() bool {
	return (f.Use || f.RealIP || f.ProxyProtocol) && f.BelievesEveryone()
}

// BelievesEveryone reports whether nobody said whose word counts.
func (f *Forwarded) BelievesEveryone() bool {
	return slices.ContainsFunc(f.Trusted, func(p netip.Prefix) bool { return p.Bits() == 0 })
}

// ClientOf finds the client's address in the value of the address header, read from the right: the first address that is not itself
// trusted, or the leftmost when all are. It stops at the first item that is not an address. The zero Addr means: none found.
func (f *Forwarded) ClientOf(value string) netip.Addr {
	var found netip.Addr
	for value != "" {
		var item string
		if i := strings.LastIndexByte(value, ','); i >= 0 {
			value, item = value[:i], value[i+1:]
		} else {
			value, item = "", value
		}
		addr := parseClient(strings.TrimSpace(item))
		if !addr.IsValid() {
			return found
		}
		found = addr
		if !f.inTrusted(addr) {
			return found
		}
	}
	return found
}

func (f *Forwarded) inTrusted(addr netip.Addr) bool {
	for _, p := range f.Trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseClient reads an address with or without a port, as load balancers write them.
func parseClient(s string) netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone("")
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func forwardedKeys() []Key {
	return []Key{
		{ConfigMap: "use-proxy-protocol", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc: "Connections from peers in proxy-real-ip-cidr must begin with a PROXY protocol header (version 1 or 2), which tells the " +
				"client's address; destination port 443 makes plain HTTP count as HTTPS. Other peers are clients themselves.",
			parse: func(s *Set, v string) (err error) { s.Forwarded.ProxyProtocol, err = parseBool(v); return err }},
		{ConfigMap: "proxy-protocol-header-timeout", Values: "time", Default: "5s", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "How long the PROXY protocol header may take to arrive.",
			parse: parseProxyTimeout},
		{ConfigMap: "use-forwarded-headers", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Believe X-Forwarded-For, -Proto, -Host and -Port of peers in proxy-real-ip-cidr.",
			parse: func(s *Set, v string) (err error) { s.Forwarded.Use, err = parseBool(v); return err }},
		{ConfigMap: "enable-real-ip", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Believe only the client address of peers in proxy-real-ip-cidr.",
			parse: func(s *Set, v string) (err error) { s.Forwarded.RealIP, err = parseBool(v); return err }},
		{ConfigMap: "forwarded-for-header", Values: "header name", Default: "X-Forwarded-For", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Header that holds the client address.",
			parse: parseForwardedHeader},
		{ConfigMap: "proxy-real-ip-cidr", Values: "comma-separated CIDRs", Default: "0.0.0.0/0", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Peers whose forwarded headers and PROXY protocol are believed. The default believes everyone and is reported.",
			parse: parseTrusted},
		{ConfigMap: "compute-full-forwarded-for", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Append the client to X-Forwarded-For instead of replacing the header.",
			parse: func(s *Set, v string) (err error) { s.Forwarded.ComputeFull, err = parseBool(v); return err }},
		{ConfigMap: "proxy-add-original-uri-header", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Send X-Original-URI upstream.",
			parse: func(s *Set, v string) (err error) { s.Forwarded.OriginalURI, err = parseBool(v); return err }},
		{ConfigMap: "generate-request-id", Values: "bool", Default: "true", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Make an X-Request-ID where the client sent none.",
			parse: func(s *Set, v string) (err error) { s.Forwarded.GenerateRequest, err = parseBool(v); return err }},
	}
}

func parseProxyTimeout(s *Set, v string) error {
	d, err := parseWait(v)
	if err != nil || d == 0 {
		return errors.New("want a time such as 5s or 500ms, at most 1h")
	}
	s.Forwarded.ProxyTimeout = d
	return nil
}

func parseTrusted(s *Set, v string) error {
	prefixes, err := parsePrefixes(v)
	if err != nil {
		return err
	}
	s.Forwarded.Trusted = prefixes
	return nil
}

func parseForwardedHeader(s *Set, v string) error {
	name, ok := canonicalName(v)
	if !ok {
		return errors.New("want a header name")
	}
	s.Forwarded.Header = name
	return nil
}
