package policy

import (
	"errors"
	"strings"
	"time"
)

// Retry says when another endpoint is tried. Whatever is listed, a request that provably reached no application is retried for any
// method, and nothing is retried once a byte of the answer went out.
type Retry struct {
	Error         bool // connection refused, reset, or closed before an answer
	Timeout       bool
	NonIdempotent bool // also POST, PATCH and LOCK
	Off           bool
	Tries         int           // endpoints tried in all; 0 is all of them
	Within        time.Duration // no further try after this; 0 is no limit
}

func defaultRetry() Retry { return Retry{Error: true, Timeout: true, Tries: 3} }

// Idempotent tells whether a method may be repeated by its definition (RFC 9110 section 9.2.2).
func Idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Allows tells whether a request may be tried again after a failure. processed says that the endpoint may have seen it.
func (p *Retry) Allows(method string, processed, timedOut bool) bool {
	if p.Off {
		return false
	}
	if !processed {
		return true
	}
	if !p.NonIdempotent && !Idempotent(method) {
		return false
	}
	return timedOut && p.Timeout || !timedOut && p.Error
}

func retryKeys() []Key {
	return []Key{
		{Name: "proxy-next-upstream", ConfigMap: "proxy-next-upstream", Values: "list of error, timeout, non_idempotent, off", Default: "error timeout", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Failures after which another endpoint is tried. Conditions on answers (http_502 and the like, invalid_header) are not supported by this release.",
			parse: parseNextUpstream},
		{Name: "proxy-next-upstream-tries", ConfigMap: "proxy-next-upstream-tries", Values: "count", Default: "3", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Endpoints tried in all; 0 is no limit.",
			parse: func(s *Set, v string) (err error) { s.Retry.Tries, err = parseInt(v, 0, 1000); return err }},
		{Name: "proxy-next-upstream-timeout", ConfigMap: "proxy-next-upstream-timeout", Values: "seconds", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "No further try after this time; 0 is no limit.",
			parse: func(s *Set, v string) error {
				n, err := parseInt(v, 0, 86400)
				s.Retry.Within = time.Duration(n) * time.Second
				return err
			}},
		{ConfigMap: "retry-non-idempotent", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Retry POST, PATCH and LOCK as well.",
			parse: func(s *Set, v string) (err error) { s.Retry.NonIdempotent, err = parseBool(v); return err }},
	}
}

func parseNextUpstream(s *Set, v string) error {
	next := Retry{Tries: s.Retry.Tries, Within: s.Retry.Within}
	for _, word := range strings.Fields(v) {
		switch word {
		case "error":
			next.Error = true
		case "timeout":
			next.Timeout = true
		case "non_idempotent":
			next.NonIdempotent = true
		case "off":
			next.Off = true
		default:
			return errors.New("want a list of error, timeout, non_idempotent, off; " + word + " is not supported")
		}
	}
	s.Retry = next
	return nil
}
