package policy

import (
	"errors"
	"regexp"
	"strings"
)

// URLRedirect is a redirect of the whole Ingress, by temporal-redirect or permanent-redirect; the first wins. No endpoint is needed for it.
// An Ingress whose redirect is not usable is closed: what the redirect hid must not show.
type URLRedirect struct {
	Temporal, Permanent         string // as written; "" is none
	TemporalCode, PermanentCode int

	// Closed is that a value was not usable, or that a snippet answers before a redirect does: then Set.Deny decides.
	Closed bool
}

func defaultURLRedirect() URLRedirect {
	return URLRedirect{TemporalCode: 302, PermanentCode: 301}
}

// decide answers as nginx's directive return does: the URL is a Location with the status codes of a redirect, and otherwise the body.
// One that begins with "/" is completed by the server's own address.
func (e *URLRedirect) decide(r *Request) Answer {
	target, code := e.Temporal, e.TemporalCode
	if target == "" {
		target, code = e.Permanent, e.PermanentCode
	}
	switch {
	case target == "" || e.Closed:
		return Answer{}
	case code == 304:
		return Answer{Status: code, Reason: Redirected}
	case !redirects(code):
		return Answer{Status: code, Reason: Redirected, Body: target}
	case target[0] == '/':
		target = r.server() + target
	}
	return Answer{Status: code, Reason: Redirected, Location: target}
}

// server is what nginx completes a relative Location with: scheme of the connection and Host without its port.
func (r *Request) server() string {
	if r.TLS {
		return "https://" + r.Named
	}
	return "http://" + r.Named
}

// Wanted reports whether there is a redirect.
func (e *URLRedirect) Wanted() bool { return e.Temporal != "" || e.Permanent != "" }

// redirects reports whether nginx sends a Location with a status.
func redirects(code int) bool {
	switch code {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

func urlRedirectKeys() []Key {
	return []Key{
		{Name: "temporal-redirect", Values: "URL", Scope: ScopePath, Bad: DenyAccess, spoil: closeURLRedirect,
			Doc:   "Answer every request with a redirect (302) to this URL, as it is written; it wins over permanent-redirect, ssl-redirect and access rules.",
			parse: func(s *Set, v string) (err error) { s.URLRedirect.Temporal, err = parseRedirectTarget(v); return err }},
		{Name: "temporal-redirect-code", Values: "300 to 307", Default: "302", Scope: ScopePath, Bad: DenyAccess, spoil: closeURLRedirect,
			Doc: "Status of temporal-redirect. Another number is 302, as in ingress-nginx.",
			parse: func(s *Set, v string) (err error) {
				s.URLRedirect.TemporalCode, err = parseURLRedirectCode(v, 307, 302)
				return err
			}},
		{Name: "permanent-redirect", Values: "URL", Scope: ScopePath, Bad: DenyAccess, spoil: closeURLRedirect,
			Doc:   "Answer every request with a redirect (301) to this URL, as it is written; it wins over ssl-redirect and access rules.",
			parse: func(s *Set, v string) (err error) { s.URLRedirect.Permanent, err = parseRedirectTarget(v); return err }},
		{Name: "permanent-redirect-code", Values: "300 to 308", Default: "301", Scope: ScopePath, Bad: DenyAccess, spoil: closeURLRedirect,
			Doc: "Status of permanent-redirect. Another number is 301, as in ingress-nginx.",
			parse: func(s *Set, v string) (err error) {
				s.URLRedirect.PermanentCode, err = parseURLRedirectCode(v, 308, 301)
				return err
			}},
	}
}

func closeURLRedirect(s *Set) { s.URLRedirect.Closed = true }

// redirectTarget has the characters that ingress-nginx takes since 1.12: no variables, escapes or spaces.
var redirectTarget = regexp.MustCompile(`^[-._~a-zA-Z0-9/:?&=,]+$`)

func parseRedirectTarget(v string) (string, error) {
	if !redirectTarget.MatchString(v) {
		return "", errors.New("want a URL of letters, digits and -._~/:?&=, only: variables and escapes are refused, as in ingress-nginx since 1.12")
	}
	return v, nil
}

// parseURLRedirectCode reads a status; a number out of range is the default.
func parseURLRedirectCode(v string, most, standard int) (int, error) {
	code, err := parseInt(strings.TrimSpace(v), -1<<31, 1<<31-1)
	switch {
	case err != nil:
		return 0, errors.New("want a status code, a whole number")
	case code < 300 || code > most:
		return standard, nil
	}
	return code, nil
}
