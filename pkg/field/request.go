package field

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// ProtocolError says why received bytes are not the message they should be,
// and which status answers them.
type ProtocolError struct {
	Status int    // the status of the answer, for example 400
	Reason string // a stable token for logs and metrics, for example "bare-lf"
	Detail string // one sentence with the offending input, quoted
}

// Error returns the detail and the reason.
func (e *ProtocolError) Error() string { return fmt.Sprintf("%s (%s)", e.Detail, e.Reason) }

// Timeout reports whether the peer was too slow, rather than wrong.
func (e *ProtocolError) Timeout() bool { return e.Status == 408 }

// Refuse makes a ProtocolError that is answered by a status.
func Refuse(status int, reason, format string, args ...any) *ProtocolError {
	return &ProtocolError{Status: status, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Methods is the field Allow of what Usher answers itself, a 405 (RFC 9110 15.5.6) among that: what every route can do.
const Methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// Check says what keeps a request from being served at all: a method or a target that is more than one word, or none that is served, or
// a host that is none. Bytes above 0x7f may stand in the target.
func Check(method, host, target string) *ProtocolError {
	if !IsToken(method) {
		return Refuse(400, "bad-method", "the method %.40q is not a token", method)
	}
	if err := CheckMethod(method); err != nil {
		return err
	}
	switch {
	case host == "":
		return Refuse(400, "no-host", "the request names no host")
	case !ValidHost(host):
		return Refuse(400, "bad-host", "the host %.80q", host)
	case target == "*" && method == "OPTIONS":
		return nil
	case target == "" || target[0] != '/':
		return Refuse(400, "bad-target", "the target %.80q is not a path", target)
	}
	return CheckTarget(target)
}

// CheckMethod accepts what can be a registered method: capital letters, "-"
// and "_", as nginx does. Methods are case-sensitive (RFC 9110 9.1), and "get"
// must not reach a backend that takes it for GET. CONNECT wants a tunnel, and
// TRACE would show the client what the proxy added.
func CheckMethod(method string) *ProtocolError {
	switch method {
	case "GET", "POST", "HEAD":
		return nil
	case "CONNECT", "TRACE":
		return Refuse(405, strings.ToLower(method), "%s is not offered", method)
	case "PRI": // reserved, so that HTTP/2 is never taken for HTTP/1.1 (RFC 9113 section 11.6)
		return Refuse(501, "method", "PRI is no method of HTTP/1.1")
	}
	if len(method) > 32 {
		return Refuse(501, "long-method", "unknown method %.40q", method)
	}
	for i := 0; i < len(method); i++ {
		if c := method[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return Refuse(501, "method", "unknown method %q", method)
		}
	}
	return nil
}

// CheckTarget takes bytes above 0x7F, as nginx does; they are sent on percent-encoded.
func CheckTarget(target string) *ProtocolError {
	for i := 0; i < len(target); i++ {
		if c := target[i]; class[c]&TargetChar == 0 && c < 0x80 {
			return Refuse(400, "bad-target", "byte %q in the request target %.80q", c, target)
		}
	}
	return nil
}

// DecodePath is the path of a target, decoded.
func DecodePath(target string) (string, *ProtocolError) {
	path, _, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return "", Refuse(400, "bad-escape", "the path of %.80q: %v", target, err)
	}
	return decoded, nil
}

// CheckSentHost holds a Host that is sent on to what is one word of one authority. A trusted proxy's may have what ValidHost refuses.
func CheckSentHost(host string) error {
	for i := 0; i < len(host); i++ {
		if c := host[i]; class[c]&TargetChar == 0 || c == '/' || c == '?' || c == '@' || c == '\\' || c == ',' {
			return fmt.Errorf("byte %q in the host %q", c, host)
		}
	}
	return nil
}

// ValidHost accepts a name or address with an optional port: letters, digits
// and -._~ only, as no sub-delimiter ever names a backend, and no empty label.
func ValidHost(s string) bool {
	if s == "" {
		return false
	}
	name, port := s, ""
	if s[0] == '[' {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return false
		}
		addr, err := netip.ParseAddr(s[1:i])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
		port = s[i+1:]
		return port == "" || port[0] == ':' && validPort(port[1:])
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		name, port = s[:i], s[i+1:]
	}
	label := 0 // bytes of the one at hand
	for i := 0; i < len(name); i++ {
		switch {
		case class[name[i]]&HostChar == 0 || name[i] == '.' && label == 0:
			return false
		case name[i] == '.':
			label = 0
		default:
			label++
		}
	}
	return name != "" && validPort(port)
}

func validPort(s string) bool {
	if len(s) > 5 {
		return false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n < 1<<16
}
