package decide

import "strings"

// NormalHost gives the form in which hosts are looked up: lower case, without port and trailing dot. An IPv6 address keeps its
// brackets. It does not allocate for a host that is in that form already.
func NormalHost(host string) string {
	if host == "" {
		return ""
	}
	if host[0] == '[' {
		if i := strings.IndexByte(host, ']'); i > 0 {
			host = host[:i+1]
		}
		return strings.ToLower(host)
	}
	upper := false
	for i := 0; i < len(host); i++ {
		if host[i] == ':' {
			host = host[:i]
			break
		}
		upper = upper || host[i]-'A' < 26 || host[i] >= 0x80
	}
	host = strings.TrimSuffix(host, ".")
	if upper {
		return strings.ToLower(host)
	}
	return host
}

// TargetOf gives path and query of a request target exactly as sent: of origin-form all of it, of absolute-form what follows the
// authority (RFC 9112 section 3.2).
func TargetOf(target string) string {
	if target == "" || target[0] == '/' || target == "*" {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// Encoded is a target with its bytes above 0x7F percent-encoded, which RFC 3986 wants and clients leave out.
func Encoded(target string) string {
	for i := 0; i < len(target); i++ {
		if target[i] >= 0x80 {
			return encodeFrom(target, i)
		}
	}
	return target
}

func encodeFrom(target string, i int) string {
	const hex = "0123456789ABCDEF"
	b := append(make([]byte, 0, 3*len(target)), target[:i]...)
	for ; i < len(target); i++ {
		if c := target[i]; c < 0x80 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
