package policy

import "net/textproto"

// Headers are rules about header fields in general.
type Headers struct {
	KeepUnderscores bool // fields with an underscore in the name are dropped otherwise, as nginx does
	ServerTokens    bool // send Server: usher
}

func defaultHeaders() Headers { return Headers{} }

func headerKeys() []Key {
	return []Key{
		{ConfigMap: "enable-underscores-in-headers", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Keep request header fields whose name has an underscore.",
			parse: func(s *Set, v string) (err error) { s.Headers.KeepUnderscores, err = parseBool(v); return err }},
		{ConfigMap: "server-tokens", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Send a Server header of Usher's own. The application's is always removed, as in ingress-nginx.",
			parse: func(s *Set, v string) (err error) { s.Headers.ServerTokens, err = parseBool(v); return err }},
	}
}

// canonicalName gives the canonical form of a header field name (RFC 9110 section 5.1), and whether it is one.
func canonicalName(name string) (string, bool) {
	if name == "" {
		return "", false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && c != '-' && c != '_' {
			return "", false
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}
