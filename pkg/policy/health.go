package policy

import (
	"errors"
	"net/url"
	"strings"
	"time"
)

// Health takes endpoints out that keep failing. Passive ejection is on by default: it needs no configuration and never takes out
// more than half of a Service.
type Health struct {
	MaxFails int           // consecutive failures before ejection; 0 switches ejection off
	EjectFor time.Duration // the first ejection; each further one doubles, up to ten times this
	Check    HealthCheck
}

// HealthCheck asks endpoints at intervals whether they are well; off while Path is empty. It is for what a readiness probe cannot see,
// such as a network between Usher and the Pod that fails.
type HealthCheck struct {
	Path              string        // with a query, if that is wanted
	Host              string        // sent as Host; empty is the endpoint's address
	Interval, Timeout time.Duration // both more than 0
	Rise, Fall        int           // good answers in a row that make an endpoint well, bad ones that make it unwell
}

func defaultHealth() Health {
	return Health{MaxFails: 5, EjectFor: 10 * time.Second, Check: HealthCheck{Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}}
}

func healthKeys() []Key {
	return []Key{
		{Name: "eject-after-failures", Values: "count", Default: "5", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Consecutive connection failures or timeouts after which an endpoint is left alone for a while; 0 is never.",
			parse: func(s *Set, v string) (err error) { s.Health.MaxFails, err = parseInt(v, 0, 1<<20); return err }},
		{Name: "eject-for", Values: "duration", Default: "10s", Scope: ScopePath, Bad: UseDefault,
			Doc: "How long, the first time; it doubles each time, up to tenfold.",
			parse: func(s *Set, v string) (err error) {
				s.Health.EjectFor, err = parseWait(v)
				return err
			}},
		{Name: "health-check-path", Values: "path", Default: "", Scope: ScopePath, Bad: UseDefault,
			Doc: "Path, and query, that each replica asks of every endpoint at intervals while requests come; a status from 200 to 399 is well. " +
				"Endpoints that are not get no requests unless none is. What Pods report by readiness probes needs no check.",
			parse: func(s *Set, v string) (err error) { s.Health.Check.Path, err = parseCheckPath(v); return err }},
		{Name: "health-check-host", Values: "host", Default: "", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Host of the health check's requests; without it the endpoint's address.",
			parse: func(s *Set, v string) (err error) { s.Health.Check.Host, err = parseAuthority(v); return err }},
		{Name: "health-check-interval", Values: "duration", Default: "10s", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Time between two checks of an endpoint, give or take a tenth.",
			parse: func(s *Set, v string) (err error) { s.Health.Check.Interval, err = parsePeriod(v); return err }},
		{Name: "health-check-timeout", Values: "duration", Default: "1s", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long a check may take, connecting included.",
			parse: func(s *Set, v string) (err error) { s.Health.Check.Timeout, err = parsePeriod(v); return err }},
		{Name: "health-check-healthy-threshold", Values: "count", Default: "2", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Good answers in a row after which an endpoint gets requests again.",
			parse: func(s *Set, v string) (err error) { s.Health.Check.Rise, err = parseInt(v, 1, 100); return err }},
		{Name: "health-check-unhealthy-threshold", Values: "count", Default: "3", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Bad answers in a row after which it does not.",
			parse: func(s *Set, v string) (err error) { s.Health.Check.Fall, err = parseInt(v, 1, 100); return err }},
	}
}

// parseCheckPath reads path and query of a request in origin-form (RFC 9112 section 3.2.1).
func parseCheckPath(v string) (string, error) {
	if _, err := url.ParseRequestURI(v); err != nil || v[0] != '/' || strings.HasPrefix(v, "//") || strings.ContainsAny(v, "# ") {
		return "", errors.New("want a path that begins with \"/\", such as /healthz")
	}
	return v, nil
}

// parsePeriod is parseWait without 0, and not so short that checks become a load.
func parsePeriod(v string) (time.Duration, error) {
	d, err := parseWait(v)
	if err != nil || d < 100*time.Millisecond {
		return 0, errors.New("want a duration such as 500ms or 10s, from 100ms to 1h")
	}
	return d, nil
}

// parseWait reads a Go duration of Usher's own options, from 0 to an hour; whole seconds need no unit.
func parseWait(v string) (time.Duration, error) {
	if d, err := parseSeconds(v); err == nil && d <= time.Hour {
		return d, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > time.Hour {
		return 0, errors.New("want a duration such as 500ms or 10s, at most 1h")
	}
	return d, nil
}
