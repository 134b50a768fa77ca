package policy

import (
	"math"
	"strconv"
)

// HSTS is the Strict-Transport-Security header (RFC 6797) on answers over HTTPS. As in ingress-nginx it is on by default, with
// includeSubDomains, and replaces the application's own header.
type HSTS struct {
	On                bool
	MaxAge            int // seconds
	IncludeSubDomains bool
	Preload           bool

	value string
}

func defaultHSTS() HSTS {
	h := HSTS{On: true, MaxAge: 31536000, IncludeSubDomains: true}
	h.render()
	return h
}

// Value is the header's value, or "" when the header is off.
func (h *HSTS) Value() string { return h.value }

func (h *HSTS) render() {
	if !h.On {
		h.value = ""
		return
	}
	h.value = "max-age=" + strconv.Itoa(h.MaxAge)
	if h.IncludeSubDomains {
		h.value += "; includeSubDomains"
	}
	if h.Preload {
		h.value += "; preload"
	}
}

func hstsKeys() []Key {
	set := func(change func(*HSTS, string) error) func(*Set, string) error {
		return func(s *Set, v string) error {
			err := change(&s.HSTS, v)
			s.HSTS.render()
			return err
		}
	}
	return []Key{
		{Name: "hsts", ConfigMap: "hsts", Values: "bool", Default: "true", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Send Strict-Transport-Security on HTTPS answers. ingress-nginx has this in the ConfigMap only; the annotation is Usher's own.",
			parse: set(func(h *HSTS, v string) (err error) { h.On, err = parseBool(v); return err })},
		{Name: "hsts-max-age", ConfigMap: "hsts-max-age", Values: "seconds", Default: "31536000", Scope: ScopePath, Bad: UseDefault,
			Doc:   "max-age of Strict-Transport-Security.",
			parse: set(func(h *HSTS, v string) (err error) { h.MaxAge, err = parseInt(v, 0, math.MaxInt32); return err })},
		{Name: "hsts-include-subdomains", ConfigMap: "hsts-include-subdomains", Values: "bool", Default: "true", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Whether Strict-Transport-Security covers sub-domains.",
			parse: set(func(h *HSTS, v string) (err error) { h.IncludeSubDomains, err = parseBool(v); return err })},
		{Name: "hsts-preload", ConfigMap: "hsts-preload", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Whether Strict-Transport-Security asks for preloading.",
			parse: set(func(h *HSTS, v string) (err error) { h.Preload, err = parseBool(v); return err })},
	}
}
