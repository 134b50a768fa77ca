package http1

import "net/textproto"

// fieldID numbers the known field names; 0 is any other name.
type fieldID uint8

// The fields that this package itself acts on come first.
const (
	idNone fieldID = iota
	idHost
	idContentLength
	idTransferEncoding
	idConnection
	idKeepAlive
	idProxyConnection
	idUpgrade
	idTE
	idTrailer
	idExpect
	idProxy
	idHTTP2Settings
	idDate
	firstOtherID
)

// knownNames lists field names in canonical form. A name in this list costs
// no allocation however the peer spells it. The order of the first ones is
// that of the constants.
var knownNames = [...]string{
	"", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection",
	"Upgrade", "Te", "Trailer", "Expect", "Proxy", "Http2-Settings", "Date",
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges",
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Access-Control-Request-Headers", "Access-Control-Request-Method", "Age", "Allow", "Alt-Svc",
	"Authorization", "Cache-Control", "Cf-Connecting-Ip", "Cf-Ray", "Content-Disposition", "Content-Encoding",
	"Content-Language", "Content-Location", "Content-Range", "Content-Security-Policy", "Content-Type",
	"Cookie", "Dnt", "Etag", "Expires", "Forwarded", "From", "Grpc-Status", "Grpc-Message", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Modified", "Link",
	"Location", "Max-Forwards", "Origin", "Permissions-Policy", "Pragma", "Priority", "Proxy-Authenticate",
	"Proxy-Authorization", "Range", "Referer", "Referrer-Policy", "Retry-After", "Sec-Ch-Ua",
	"Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Key",
	"Sec-Websocket-Protocol", "Sec-Websocket-Version", "Server", "Server-Timing", "Set-Cookie",
	"Strict-Transport-Security", "Traceparent", "Tracestate", "Upgrade-Insecure-Requests", "User-Agent",
	"Vary", "Via", "Www-Authenticate", "X-Content-Type-Options", "X-Correlation-Id", "X-Forwarded-For",
	"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Frame-Options",
	"X-Original-Forwarded-For", "X-Original-Uri", "X-Powered-By", "X-Real-Ip", "X-Request-Id",
	"X-Requested-With", "X-Scheme", "X-Xss-Protection", "X-Usher-Reason",
}

// nameSlots is an open-addressed hash table of indexes into knownNames. It is
// never written after it is built.
var nameSlots = buildNameSlots()

const nameMask = 511

func buildNameSlots() (slots [nameMask + 1]fieldID) {
	for i := 1; i < len(knownNames); i++ {
		h := nameHash(knownNames[i])
		for slots[h] != 0 {
			h = (h + 1) & nameMask
		}
		slots[h] = fieldID(i)
	}
	return slots
}

func nameHash(s string) uint {
	n := len(s)
	h := uint(n)
	h = h*31 + uint(s[0]|0x20)
	h = h*31 + uint(s[n-1]|0x20)
	h = h*31 + uint(s[n/2]|0x20)
	h = h*31 + uint(s[n/3]|0x20)
	return (h ^ h>>7) & nameMask
}

// lookupName finds a known name, spelled in any case.
func lookupName(s string) fieldID {
	if len(s) == 0 {
		return idNone
	}
	for h := nameHash(s); nameSlots[h] != 0; h = (h + 1) & nameMask {
		id := nameSlots[h]
		if known := knownNames[id]; known == s || sameName(known, s) {
			return id
		}
	}
	return idNone
}

func sameName(known, s string) bool {
	if len(known) != len(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if known[i] != s[i] && lowerByte(known[i]) != lowerByte(s[i]) {
			return false
		}
	}
	return true
}

// canonicalName returns the canonical form of a valid field name, without an
// allocation when the name is known or already canonical.
func canonicalName(s string) (string, fieldID) {
	if id := lookupName(s); id != idNone {
		return knownNames[id], id
	}
	return textproto.CanonicalMIMEHeaderKey(s), idNone
}

// hopByHop reports whether a field belongs to one connection and is therefore
// written by this package only (RFC 9110 7.6.1), together with the framing.
func hopByHop(id fieldID) bool {
	switch id {
	case idHost, idContentLength, idTransferEncoding, idConnection, idKeepAlive,
		idProxyConnection, idUpgrade, idTE, idTrailer, idExpect, idHTTP2Settings:
		return true
	}
	return false
}
