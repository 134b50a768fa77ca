package policy

import (
	"errors"
	"strings"
)

// Redirect is HTTP to HTTPS redirection. It is decided before authentication, as in ingress-nginx, so that credentials are never
// asked for over plain HTTP.
type Redirect struct {
	SSL                   bool     // only where the host has a TLS section
	ForceSSL              bool     // also where TLS ends before Usher
	PreserveTrailingSlash bool     // otherwise one trailing slash is cut from the Location
	Code                  int      // 308 unless http-redirect-code says otherwise
	Exempt                []string // path prefixes that stay on plain HTTP
}

func defaultRedirect() Redirect {
	return Redirect{SSL: true, Code: 308, Exempt: []string{"/.well-known/acme-challenge"}}
}

func (d *Redirect) decide(r *Request, hostHasTLS bool) Answer {
	if r.Scheme == "https" || !(d.ForceSSL || d.SSL && hostHasTLS) || d.exempt(r.Path) {
		return Answer{}
	}
	target := r.Target
	if !d.PreserveTrailingSlash {
		target = strings.TrimSuffix(target, "/")
	}
	return Answer{Status: d.Code, Reason: HTTPSRedirect, Location: "https://" + r.Host + target}
}

func (d *Redirect) exempt(path string) bool {
	for _, prefix := range d.Exempt {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

func redirectKeys() []Key {
	return []Key{
		{Name: "ssl-redirect", ConfigMap: "ssl-redirect", Values: "bool", Default: "true", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Redirect plain HTTP to HTTPS where a TLS section names the host. One trailing slash is cut from the Location, as ingress-nginx does.",
			parse: func(s *Set, v string) (err error) { s.Redirect.SSL, err = parseBool(v); return err }},
		{Name: "force-ssl-redirect", ConfigMap: "force-ssl-redirect", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Redirect plain HTTP to HTTPS even where the host has no TLS section, for TLS that ends at a load balancer; trusted X-Forwarded-Proto says which requests are HTTPS.",
			parse: func(s *Set, v string) (err error) { s.Redirect.ForceSSL, err = parseBool(v); return err }},
		{Name: "preserve-trailing-slash", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Keep a trailing slash in the redirect to HTTPS.",
			parse: func(s *Set, v string) (err error) { s.Redirect.PreserveTrailingSlash, err = parseBool(v); return err }},
		{ConfigMap: "http-redirect-code", Values: "301, 302, 307 or 308", Default: "308", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Status of the redirect to HTTPS.",
			parse: parseRedirectCode},
		{ConfigMap: "no-tls-redirect-locations", Values: "comma-separated path prefixes", Default: "/.well-known/acme-challenge", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Paths that are never redirected to HTTPS.",
			parse: func(s *Set, v string) error { s.Redirect.Exempt = splitList(v); return nil }},
	}
}

func parseRedirectCode(s *Set, v string) error {
	switch v {
	case "301", "302", "307", "308":
		code, err := parseInt(v, 301, 308)
		s.Redirect.Code = code
		return err
	}
	return errors.New("want 301, 302, 307 or 308")
}
