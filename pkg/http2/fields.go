package http2

import (
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// fieldSet is a field section as it is decoded. A section that is malformed or
// too large is decoded to its end all the same, or the table of the
// compression would be lost with it.
type fieldSet struct {
	method, scheme, path, authority string
	protocol                        string // of RFC 8441
	seen                            byte   // pseudo-fields, as bits
	host                            string
	hosts                           int
	length                          int64 // Content-Length; -1 without one
	names, values                   []string
	cookies                         []string
	count                           int // of fields as HTTP/1.1 has them: :authority is Host, all of Cookie is one
	size                            int
	regular                         bool // a regular field was seen
	tooLarge                        bool
	flaw                            string // why the section is malformed
	maxSize, maxFields              int
}

func (s *fieldSet) reset(l *Limits) {
	names, values, cookies := s.names[:0], s.values[:0], s.cookies[:0]
	*s = fieldSet{length: -1, names: names, values: values, cookies: cookies, maxSize: l.HeadBytes, maxFields: l.Fields}
}

// refuse makes the section too large, and keeps none of it.
func (s *fieldSet) refuse() {
	clear(s.names)
	clear(s.values)
	clear(s.cookies)
	s.names, s.values, s.cookies, s.tooLarge = s.names[:0], s.values[:0], s.cookies[:0], true
}

const (
	sawMethod = 1 << iota
	sawScheme
	sawPath
	sawAuthority
	sawProtocol
)

func (c *conn) emit(f hpack.HeaderField) { c.fields.add(f.Name, f.Value) }

func (s *fieldSet) add(name, value string) {
	if s.size += len(name) + len(value) + 32; s.size > s.maxSize || s.counted(name) > s.maxFields {
		s.tooLarge = true
	}
	switch {
	case s.tooLarge || s.flaw != "":
	case !validValue(value):
		s.flaw = "bad-value"
	case strings.HasPrefix(name, ":"):
		s.pseudo(name, value)
	default:
		s.regular = true
		s.field(name, value)
	}
}

func (s *fieldSet) counted(name string) int {
	crumb := name == "cookie" && len(s.cookies) > 0 // RFC 9113 section 8.2.3
	if !crumb && (name == ":authority" || !strings.HasPrefix(name, ":")) {
		s.count++
	}
	return s.count
}

func (s *fieldSet) pseudo(name, value string) {
	var bit byte
	var to *string
	switch name {
	case ":method":
		bit, to = sawMethod, &s.method
	case ":scheme":
		bit, to = sawScheme, &s.scheme
	case ":path":
		bit, to = sawPath, &s.path
	case ":authority":
		bit, to = sawAuthority, &s.authority
	case ":protocol":
		bit, to = sawProtocol, &s.protocol
	}
	if to == nil || s.regular || s.seen&bit != 0 {
		s.flaw = "bad-pseudo-field"
		return
	}
	s.seen |= bit
	*to = value
}

func (s *fieldSet) field(name, value string) {
	canonical, known := knownNames[name]
	if !known {
		if !validName(name) {
			s.flaw = "bad-name"
			return
		}
		canonical = textproto.CanonicalMIMEHeaderKey(name)
	}
	switch canonical {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		s.flaw = "connection-field"
	case "Te":
		if !strings.EqualFold(value, "trailers") {
			s.flaw = "connection-field"
		}
	case "Http2-Settings": // of an upgrade to what this is already
		return
	case "Host":
		s.host = value
		s.hosts++
		return
	case "Cookie":
		s.cookies = append(s.cookies, value)
		return
	case "Content-Length":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || value[0] == '+' || s.length >= 0 {
			s.flaw = "bad-length"
			return
		}
		s.length = int64(n)
	}
	s.names = append(s.names, canonical)
	s.values = append(s.values, value)
}

// validName: a token without upper case letters (RFC 9113 section 8.2.1).
func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// validValue: no control bytes but tabs, no white space at the ends.
func validValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !blank(s[0]) && !blank(s[len(s)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// knownNames maps names in lower case to their canonical form. It is never
// written after it is built.
var knownNames = buildKnownNames()

func buildKnownNames() map[string]string {
	names := map[string]string{}
	for name := range strings.FieldsSeq(`Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges
		Access-Control-Allow-Credentials Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin
		Access-Control-Expose-Headers Access-Control-Max-Age Access-Control-Request-Headers Access-Control-Request-Method
		Age Allow Alt-Svc Authorization Cache-Control Connection Content-Disposition Content-Encoding Content-Language
		Content-Length Content-Location Content-Range Content-Security-Policy Content-Type Cookie Date Dnt Etag Expect
		Expires Forwarded From Grpc-Accept-Encoding Grpc-Encoding Grpc-Message Grpc-Status Grpc-Timeout Host If-Match
		If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive Last-Modified Link Location Max-Forwards
		Origin Permissions-Policy Pragma Priority Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Referer
		Referrer-Policy Retry-After Sec-Ch-Ua Sec-Ch-Ua-Mobile Sec-Ch-Ua-Platform Sec-Fetch-Dest Sec-Fetch-Mode
		Sec-Fetch-Site Sec-Fetch-User Server Server-Timing Set-Cookie Strict-Transport-Security Te Traceparent Tracestate
		Trailer Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Vary Via Www-Authenticate
		X-Content-Type-Options X-Correlation-Id X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto
		X-Forwarded-Scheme X-Frame-Options X-Powered-By X-Real-Ip X-Request-Id X-Requested-With X-Usher-Reason`) {
		names[strings.ToLower(name)] = name
	}
	return names
}
