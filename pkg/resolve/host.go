package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// hostName gives the form of a rule's or TLS entry's host that requests are matched on: lower case. It accepts what the API accepts
// (RFC 1123 names of at most 253 characters, one leading "*." label) and the empty host.
func hostName(written string) (string, error) {
	name := strings.ToLower(written)
	switch {
	case name == "":
		return "", nil
	case strings.HasPrefix(name, "*"):
		rest, ok := strings.CutPrefix(name, "*.")
		if !ok || !isDNSName(rest) {
			return "", errors.New(`a wildcard stands for the whole first label and nothing else, as in "*.example.com"`)
		}
		return name, nil
	case isAddress(name):
		return "", errors.New("want a DNS name, not an IP address; leave the host out to match any")
	case !isDNSName(name):
		return "", errors.New("want a DNS name of letters, digits, '-' and '.' without a port; an international name in its xn-- form")
	}
	return name, nil
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil
}

// isDNSName is the API's IsDNS1123Subdomain.
func isDNSName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(label string) bool {
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// wildcardOf is the wildcard that covers a host: "*.example.com" for "shop.example.com", "" if none can.
func wildcardOf(host string) string {
	if i := strings.IndexByte(host, '.'); i > 0 && !strings.HasPrefix(host, "*") {
		return "*" + host[i:]
	}
	return ""
}

// below are names by the wildcard above them, so that one wildcard among thousands costs no look at all of them.
type below map[string]map[string]bool

func (b below) add(name string) {
	wildcard := wildcardOf(name)
	if wildcard == "" {
		return
	}
	if b[wildcard] == nil {
		b[wildcard] = map[string]bool{}
	}
	b[wildcard][name] = true
}

func (b below) remove(name string) {
	wildcard := wildcardOf(name)
	if delete(b[wildcard], name); len(b[wildcard]) == 0 {
		delete(b, wildcard)
	}
}

// sampleHost is a host a client could ask for to reach the virtual host.
func sampleHost(host string) string {
	switch {
	case host == "":
		return "any-host"
	case host[0] == '*':
		return "www" + host[1:]
	}
	return host
}

// sampleURL is an address that a client could ask for to reach a normalised path of a virtual host.
func sampleURL(host, path string) string {
	var b strings.Builder
	b.WriteString("http://" + sampleHost(host))
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"#%<>?\^`+"`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
