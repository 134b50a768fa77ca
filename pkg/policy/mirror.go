package policy

import (
	"errors"
	"net/url"
)

// Mirror sends a copy of each request to another address and drops the answer. It never slows or fails the request itself: copies
// that cannot keep up are dropped and counted.
type Mirror struct {
	Target *url.URL // nil: off; scheme, host and an optional path prefix
	Body   bool
	Host   string // Host header of the copy; "" is the target's
}

func defaultMirror() Mirror { return Mirror{Body: true} }

func mirrorKeys() []Key {
	return []Key{
		{Name: "mirror-target", Values: "URL, with $request_uri at its end", Scope: ScopePath, Bad: UseDefault,
			Doc: "Send a copy of each request there and drop the answer.", parse: parseMirror},
		{Name: "mirror-request-body", Values: "on or off", Default: "on", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Whether the copy has the body.",
			parse: func(s *Set, v string) (err error) { s.Mirror.Body, err = parseOnOff(v); return err }},
		{Name: "mirror-host", Values: "host", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Host header of the copy.",
			parse: func(s *Set, v string) (err error) { s.Mirror.Host, err = parseAuthority(v); return err }},
	}
}

var errWantMirror = errors.New("want an http or https URL; of the variables only $request_uri, at its end")

func parseMirror(s *Set, v string) error {
	for _, tail := range []string{"$request_uri", "${request_uri}"} {
		if len(v) > len(tail) && v[len(v)-len(tail):] == tail {
			v = v[:len(v)-len(tail)]
		}
	}
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errWantMirror
	}
	for i := 0; i < len(v); i++ {
		if v[i] == '$' || v[i] <= ' ' {
			return errWantMirror
		}
	}
	s.Mirror.Target = u
	return nil
}
