package policy

import (
	"errors"
	"time"
)

// Health takes endpoints out that keep failing. Passive ejection is on by default: it needs no configuration and never takes out
// more than half of a Service.
type Health struct {
	MaxFails int           // consecutive failures before ejection; 0 switches ejection off
	EjectFor time.Duration // the first ejection; each further one doubles, up to ten times this
}

func defaultHealth() Health {
	return Health{MaxFails: 5, EjectFor: 10 * time.Second}
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
	}
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
