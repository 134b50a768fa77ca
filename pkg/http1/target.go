package http1

import (
	"net/url"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
)

// parseTarget reads the request target (RFC 9112 3.2): origin-form,
// absolute-form, or "*" with OPTIONS. The bytes as sent stay in RequestURI.
func (x *exchange) parseTarget(target string) *ProtocolError {
	x.url = url.URL{}
	x.req.URL = &x.url
	if target == "*" {
		if x.req.Method != "OPTIONS" {
			return malformed("bad-target", "%s *: only OPTIONS has this target", x.req.Method)
		}
		x.url.Path = "*"
		return nil
	}
	if err := field.CheckTarget(target); err != nil {
		return err
	}
	if target[0] == '/' {
		return x.originForm(target)
	}
	return x.absoluteForm(target)
}

// originForm splits path and query. URL.RawPath is set whenever the path as
// sent is not what URL.EscapedPath would make of the decoded one, so that the
// transport can send the same bytes.
func (x *exchange) originForm(target string) *ProtocolError {
	path := target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path = target[:i]
		x.url.RawQuery = target[i+1:]
		x.url.ForceQuery = x.url.RawQuery == ""
	}
	plain := true
	for i := 0; i < len(path); i++ {
		if class[path[i]]&plainChar == 0 {
			plain = false
			break
		}
	}
	x.url.Path = path
	if plain {
		return nil
	}
	decoded, err := field.DecodePath(target)
	if err != nil {
		return err
	}
	x.url.Path, x.url.RawPath = decoded, path
	return nil
}

// absoluteForm is what a client sends to a proxy. The host in the target is
// the one that counts, and the Host field must agree (RFC 9112 3.2, 3.2.2).
func (x *exchange) absoluteForm(target string) *ProtocolError {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return malformed("bad-target", "the request target %.80q is neither a path nor an http URI", target)
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if !field.ValidHost(authority) {
		return malformed("bad-host", "the host of the request target %.80q", target)
	}
	x.url.Scheme, x.url.Host = strings.ToLower(scheme), authority
	switch {
	case path == "" && x.req.Method == "OPTIONS":
		x.url.Path = "*" // RFC 9112 3.2.4
		return nil
	case path == "" || path[0] == '?':
		path = "/" + path
	}
	return x.originForm(path)
}

// settleHost requires exactly one valid Host on HTTP/1.1 (RFC 9112 3.2).
func (x *exchange) settleHost() *ProtocolError {
	h := &x.head
	switch {
	case h.hosts > 1:
		return malformed("repeated-host", "%d Host fields", h.hosts)
	case h.hosts == 0 && h.minor > 0:
		return malformed("no-host", "no Host field")
	case h.hosts == 1 && !field.ValidHost(h.host):
		return malformed("bad-host", "Host: %.80q", h.host)
	}
	x.req.Host = h.host
	if x.url.Host == "" {
		return nil
	}
	if h.hosts == 1 && !sameHost(h.host, x.url.Host, x.url.Scheme) {
		return malformed("host-mismatch", "Host %.80q does not match the request target's %.80q", h.host, x.url.Host)
	}
	x.req.Host = x.url.Host
	return nil
}

func sameHost(a, b, scheme string) bool {
	return strings.EqualFold(withoutDefaultPort(a, scheme), withoutDefaultPort(b, scheme))
}

func withoutDefaultPort(host, scheme string) string {
	if scheme == "https" {
		return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":")
	}
	return strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":")
}
