package policy

import (
	"net/netip"
)

// Limit bounds what one client address may do on the paths of an Ingress. Each replica counts for itself, as in ingress-nginx.
type Limit struct {
	Connections     int // requests at a time; 0 is no limit
	RPS             int // requests per second
	RPM             int // requests per minute
	BurstMultiplier int // how many times the rate may come at once
	Allow           []netip.Prefix
	RateStatus      int // 503 unless limit-req-status-code says otherwise
	ConnStatus      int

	Bandwidth      int64 // of an answer's body, in bytes per second; 0 is no limit
	BandwidthAfter int64 // bytes that come without it
}

func defaultLimit() Limit { return Limit{BurstMultiplier: 5, RateStatus: 503, ConnStatus: 503} }

// Applies reports whether there is any limit for this client.
func (l *Limit) Applies(client netip.Addr) bool {
	if l.Connections == 0 && l.RPS == 0 && l.RPM == 0 {
		return false
	}
	for _, p := range l.Allow {
		if p.Contains(client) {
			return false
		}
	}
	return true
}

func limitKeys() []Key {
	n := func(field func(*Limit) *int) func(*Set, string) error {
		return func(s *Set, v string) (err error) { *field(&s.Limit), err = parseInt(v, 0, 1<<30); return err }
	}
	status := func(field func(*Limit) *int) func(*Set, string) error {
		return func(s *Set, v string) (err error) { *field(&s.Limit), err = parseInt(v, 400, 599); return err }
	}
	return []Key{
		{Name: "limit-connections", Values: "count", Default: "0", Scope: ScopePath, Bad: DenyAccess,
			Doc: "Requests at a time from one client address; more are answered limit-conn-status-code.", parse: n(func(l *Limit) *int { return &l.Connections })},
		{Name: "limit-rps", Values: "count", Default: "0", Scope: ScopePath, Bad: DenyAccess,
			Doc: "Requests per second from one client address, without delay; more are answered limit-req-status-code.", parse: n(func(l *Limit) *int { return &l.RPS })},
		{Name: "limit-rpm", Values: "count", Default: "0", Scope: ScopePath, Bad: DenyAccess,
			Doc: "Requests per minute from one client address.", parse: n(func(l *Limit) *int { return &l.RPM })},
		{Name: "limit-burst-multiplier", Values: "count", Default: "5", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How many times the rate may come at once.",
			parse: func(s *Set, v string) (err error) { s.Limit.BurstMultiplier, err = parseInt(v, 1, 1<<20); return err }},
		{Name: "limit-allowlist", Aliases: []string{"limit-whitelist"}, Values: "comma-separated CIDRs", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Client addresses without limits.",
			parse: func(s *Set, v string) (err error) { s.Limit.Allow, err = parsePrefixes(v); return err }},
		{Name: "limit-rate", ConfigMap: "limit-rate", Values: "KiB per second", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "How fast an answer's body is sent to the client, each answer for itself; 0 is no limit. One second's worth may come at once. ingress-nginx needs " +
				"proxy-buffering for it; here the endpoint is read no faster than the client is sent to.",
			parse: kibibytes(func(l *Limit) *int64 { return &l.Bandwidth })},
		{Name: "limit-rate-after", ConfigMap: "limit-rate-after", Values: "KiB", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "How much of an answer comes before limit-rate counts.", parse: kibibytes(func(l *Limit) *int64 { return &l.BandwidthAfter })},
		{ConfigMap: "limit-req-status-code", Values: "400 to 599", Default: "503", Scope: ScopeGlobal, Bad: UseDefault,
			Doc: "Status for a request over limit-rps or limit-rpm.", parse: status(func(l *Limit) *int { return &l.RateStatus })},
		{ConfigMap: "limit-conn-status-code", Values: "400 to 599", Default: "503", Scope: ScopeGlobal, Bad: UseDefault,
			Doc: "Status for a request over limit-connections.", parse: status(func(l *Limit) *int { return &l.ConnStatus })},
	}
}

func kibibytes(field func(*Limit) *int64) func(*Set, string) error {
	return func(s *Set, v string) error {
		n, err := parseInt(v, 0, 1<<30)
		*field(&s.Limit) = int64(n) << 10
		return err
	}
}
