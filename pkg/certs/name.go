package certs

import (
	"strings"
	"unsafe"
)

// maxName is the longest DNS name in text form (RFC 1035 section 2.3.4).
const maxName = 253

// canonicalName gives a server name in the form that certificates are filed under: lower case, without the trailing dot. A name
// that is already so, which is nearly all of them, is returned itself; otherwise the result lives in buffer, and must not be kept
// longer than that. A name that is too long to exist gives "".
func canonicalName(name string, buffer *[maxName]byte) string {
	name = strings.TrimSuffix(name, ".")
	if len(name) > maxName {
		return ""
	}
	for i := 0; i < len(name); i++ {
		if isUpper(name[i]) {
			return lower(name, buffer)
		}
	}
	return name
}

// lower avoids the allocation of strings.ToLower: whoever sends capitals in every handshake shall not cost more than others.
func lower(name string, buffer *[maxName]byte) string {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if isUpper(c) {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	return unsafe.String(&buffer[0], len(name))
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
