package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Canary sends a share of a route's traffic to another backend. The Ingress that carries it names the same host, path and path type
// as the primary one. Rules decide in the order header, cookie, weight; unlike ingress-nginx they reach no other path or host.
type Canary struct {
	On      bool
	Header  string // canonical name
	Value   string // exact match; always and never lose their meaning
	Pattern *regexp.Regexp
	Cookie  string
	Weight  int
	Total   int
}

func defaultCanary() Canary { return Canary{Total: 100} }

// Fields is how a decision reads header fields; http.Header is one.
type Fields interface{ Get(name string) string }

// Picks tells whether a request goes to the canary, and which rule said so. chance is uniform in [0, 1).
func (c *Canary) Picks(h Fields, chance float64) (canary bool, rule string) {
	if c.Header != "" {
		if picked, decided := c.byHeader(h.Get(c.Header)); decided {
			return picked, "header " + c.Header
		}
	}
	if c.Cookie != "" {
		switch CookieValue(h.Get("Cookie"), c.Cookie) {
		case "always":
			return true, "cookie " + c.Cookie
		case "never":
			return false, "cookie " + c.Cookie
		}
	}
	return chance*float64(c.Total) < float64(c.Weight), "weight"
}

// String says in which order the rules decide: "header X-Canary, cookie beta, 20 of 100".
func (c *Canary) String() string {
	var rules []string
	if c.Header != "" {
		rule := "header " + c.Header
		if c.Value != "" {
			rule += " = " + c.Value
		} else if c.Pattern != nil {
			rule += " ~ " + c.Pattern.String()
		}
		rules = append(rules, rule)
	}
	if c.Cookie != "" {
		rules = append(rules, "cookie "+c.Cookie)
	}
	return strings.Join(append(rules, fmt.Sprintf("%d of %d", c.Weight, c.Total)), ", ")
}

func (c *Canary) byHeader(value string) (picked, decided bool) {
	switch {
	case value == "":
		return false, false
	case c.Value != "":
		return true, value == c.Value
	case c.Pattern != nil:
		return true, c.Pattern.MatchString(value)
	case value == "always":
		return true, true
	case value == "never":
		return false, true
	}
	return false, false
}

// CookieValue is the value of the first cookie of that name in a Cookie header, or "".
func CookieValue(header, name string) string {
	for header != "" {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && k == name {
			return v
		}
	}
	return ""
}

func canaryKeys() []Key {
	return []Key{
		{Name: "canary", Values: "bool", Default: "false", Scope: ScopePath, Bad: DenyAccess,
			Doc:   "This Ingress is the canary of the one with the same host, path and path type.",
			parse: func(s *Set, v string) (err error) { s.Canary.On, err = parseBool(v); return err }},
		{Name: "canary-by-header", Values: "header name", Scope: ScopePath, Bad: UseDefault,
			Doc: "Header that decides first: always, never, or anything else for the next rule.",
			parse: func(s *Set, v string) error {
				name, ok := canonicalName(v)
				if !ok {
					return errors.New("want a header name")
				}
				s.Canary.Header = name
				return nil
			}},
		{Name: "canary-by-header-value", Values: "text", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Value of that header that picks the canary; any other goes on to the next rule.",
			parse: func(s *Set, v string) error { s.Canary.Value = v; return nil }},
		{Name: "canary-by-header-pattern", Values: "RE2 pattern", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Pattern of that header that picks the canary; ignored beside canary-by-header-value. Look-around and back-references of PCRE are not in RE2.",
			parse: func(s *Set, v string) (err error) { s.Canary.Pattern, err = compile(v); return err }},
		{Name: "canary-by-cookie", Values: "cookie name", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Cookie that decides next: always, never, or anything else for the weight.",
			parse: func(s *Set, v string) error { s.Canary.Cookie = v; return nil }},
		{Name: "canary-weight", Values: "count", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Share of the remaining requests, out of canary-weight-total.",
			parse: func(s *Set, v string) (err error) { s.Canary.Weight, err = parseInt(v, 0, 1<<30); return err }},
		{Name: "canary-weight-total", Values: "count", Default: "100", Scope: ScopePath, Bad: UseDefault,
			Doc: "What canary-weight is out of; effective above 100 only, as in ingress-nginx.",
			parse: func(s *Set, v string) error {
				n, err := parseInt(v, 0, 1<<30)
				s.Canary.Total = max(n, 100)
				return err
			}},
	}
}

func compile(v string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(v)
	if err != nil {
		return nil, errors.New("want an RE2 pattern: " + err.Error())
	}
	return re, nil
}
