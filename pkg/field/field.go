// Package field holds what the packages that speak HTTP and those that decide about it have to agree on: what a header field is, and
// what may stand in a request line and in Host (RFC 9110, RFC 9112). It is a leaf: it knows no request, no connection and no table, so
// that the engine which refuses a request and the explanation of why it is refused read the same lines.
package field

import (
	"net/textproto"
	"strings"
)

// Field is one header field.
type Field struct{ Name, Value string }

// Named appends the canonical names of the fields that Connection names (RFC 9110 section 7.6.1) to names, and reports whether it asks
// for an upgrade.
func Named(connection, names []string) (_ []string, upgrade bool) {
	for _, line := range connection {
		for line != "" {
			var option string
			option, line, _ = strings.Cut(line, ",")
			option = strings.TrimSpace(option)
			switch {
			case strings.EqualFold(option, "upgrade"):
				upgrade = true
			case option == "", strings.EqualFold(option, "close"), strings.EqualFold(option, "keep-alive"), strings.EqualFold(option, "te"):
			default:
				names = append(names, textproto.CanonicalMIMEHeaderKey(option))
			}
		}
	}
	return names, upgrade
}

// Lists reports whether a list, in any number of lines, has an item, in any case.
func Lists(lines []string, item string) bool {
	for _, line := range lines {
		for line != "" {
			var found string
			found, line, _ = strings.Cut(line, ",")
			if strings.EqualFold(strings.TrimSpace(found), item) {
				return true
			}
		}
	}
	return false
}
