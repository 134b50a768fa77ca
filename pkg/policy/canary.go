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
	Never   bool // the pattern cannot be read: the header, whatever it says, keeps a request from the canary
	Cookie  string
	Weight  int
	Total   int
}

func defaultCanary() Canary { return Canary{Total: 100} }

// Fields is how a decision reads header fields; http.Header is one.
type Fields interface{ Get(name string) string }

// ByWeight is the rule that asks chance.
const ByWeight = "weight"

// Picks reports whether a request goes to the canary, and which rule said so. chance is uniform in [0, 1).
func (c *Canary) Picks(h Fields, chance float64) (canary bool, rule string) {
	if c.Header != "" {
		if picked, decided := c.byHeader(h.Get(c.Header)); decided {
			return picked, "header " + c.Header
		}
	}
	if c.Cookie != "" {
		switch AnyCookieValue(h.Get("Cookie"), c.Cookie) {
		case "always":
			return true, "cookie " + c.Cookie
		case "never":
			return false, "cookie " + c.Cookie
		}
	}
	return chance*float64(c.Total) < float64(c.Weight), ByWeight
}

// String says in which order the rules decide: "header X-Canary, cookie beta, 20 of 100".
func (c *Canary) String() string {
	var rules []string
	if c.Header != "" {
		rule := "header " + c.Header
		if c.Value != "" {
			rule += " = " + c.Value
		} else if c.Never {
			rule += " never"
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
	case c.Never:
		return false, true
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
	return cookieValue(header, func(k string) bool { return k == name })
}

// AnyCookieValue is CookieValue for a name in any case, which is how nginx's variables read cookies.
func AnyCookieValue(header, name string) string {
	return cookieValue(header, func(k string) bool { return strings.EqualFold(k, name) })
}

func cookieValue(header string, is func(string) bool) string {
	for header != "" {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && is(k) {
			return v
		}
	}
	return ""
}

func canaryKeys() []Key {
	return []Key{
		{Name: "canary", Values: "bool", Default: "false", Scope: ScopePath, Bad: DenyAccess,
			Doc: "This Ingress is the canary of the one with the same host, path and path type, for the requests that its canary-* pick and for no other path or host " +
				"of the Service. Without endpoints of the primary all are answered 503. Every other option is the primary's; in ingress-nginx load-balance and upstream-hash-by of the canary's Ingress count within the canary.",
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
			Doc: "Pattern of that header that picks the canary; ignored beside canary-by-header-value. " +
				"Look-around and back-references of PCRE are not in RE2: then no request with the header goes to the canary.",
			parse: parseCanaryPattern},
		{Name: "canary-by-cookie", Values: "cookie name", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Cookie that decides next: always, never, or anything else for the weight. Its name is compared in any case, as nginx does.",
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

func parseCanaryPattern(s *Set, v string) (err error) {
	s.Canary.Pattern, err = regexp.Compile(v)
	if s.Canary.Never = err != nil; err != nil {
		return partial{"want an RE2 pattern: " + err.Error(), "no request with the header goes to the canary, as in ingress-nginx"}
	}
	return nil
}

// canaryAlone reports rules of a canary on an Ingress that is none. ingress-nginx does not accept the object.
func (p *parser) canaryAlone() {
	if p.set == nil || p.set.Wrote("canary") {
		return
	}
	for _, w := range p.set.settings {
		if strings.HasPrefix(w.Key.Name, "canary-") {
			p.problems = append(p.problems, Problem{Origin: w.Origin, Reason: BadAnnotation, Effect: "ignored; the Ingress is an ordinary one",
				Message: fmt.Sprintf("%s %q: want canary: \"true\" beside it", w.Key.Name, w.Value)})
		}
	}
}
