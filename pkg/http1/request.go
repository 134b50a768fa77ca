package http1

import (
	"net/http"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
)

// requestHead is what a request's head says besides its fields.
type requestHead struct {
	minor     int // of the version: 0 or 1
	framing   framing
	length    int64
	expects   bool // 100-continue
	close     bool
	keepAlive bool // asked for explicitly, as HTTP/1.0 clients must
	upgrade   bool // Upgrade is kept and named in Connection
	h2c       bool
	lengths   int // how many Content-Length fields
	codings   int // how many Transfer-Encoding fields
	hosts     int
	coding    string
	lengthRaw string
	host      string
	expect    string
}

// parseRequest fills x.req from a complete head that ends with an empty line.
func (x *exchange) parseRequest(head string) *ProtocolError {
	x.fields.reset()
	end := strings.IndexByte(head, '\n')
	if err := x.parseRequestLine(head[:end-1]); err != nil {
		return err
	}
	if err := x.parseRequestFields(head[end+1 : len(head)-2]); err != nil {
		return err
	}
	if err := x.settleHost(); err != nil {
		return err
	}
	if err := x.settleFraming(); err != nil {
		return err
	}
	x.req.Header = x.fields.header
	x.settleConnection()
	return x.settleTrailer()
}

// preface is how a client of HTTP/2 begins, as far as it is a request head.
const preface = "PRI * HTTP/2.0\r\n\r\n"

// errPreface is never written; compare it as it is.
var errPreface = refusal(505, "version", "HTTP/2 is not spoken here without TLS")

func (x *exchange) parseRequestLine(line string) *ProtocolError {
	if line == preface[:len(preface)-4] {
		return errPreface
	}
	if strings.IndexByte(line, '\r') >= 0 {
		return malformed("bare-cr", "CR inside the request line: %.80q", line)
	}
	if len(line) > x.limits.LineBytes {
		return refusal(414, "long-request-line", "the request line exceeds %d bytes", x.limits.LineBytes)
	}
	i := strings.IndexByte(line, ' ')
	if i <= 0 || !field.IsToken(line[:i]) {
		return malformed("bad-method", "no method at the start of %.80q", line)
	}
	method, rest := line[:i], line[i+1:]
	j := strings.LastIndexByte(rest, ' ')
	if j <= 0 {
		return malformed("bad-request-line", "want METHOD SP target SP version: %.80q", line)
	}
	target, version := rest[:j], rest[j+1:]
	if err := x.parseVersion(version); err != nil {
		if method == "PROXY" {
			return unexpectedProxyHeader("%.80q", line)
		}
		return err
	}
	x.req.Method, x.req.RequestURI = method, target
	if err := field.CheckMethod(method); err != nil {
		return err
	}
	return x.parseTarget(target)
}

// unexpectedProxyHeader names what comes of a load balancer that speaks PROXY
// protocol to somebody who was not told to expect it, or not from there.
func unexpectedProxyHeader(format string, start any) *ProtocolError {
	return malformed("proxy-header", "a PROXY protocol header came from a peer that none is expected from: "+format, start)
}

// parseVersion accepts HTTP/1.0, HTTP/1.1 and later minor versions, which are
// read as 1.1 (RFC 9110 2.5).
func (x *exchange) parseVersion(v string) *ProtocolError {
	switch v {
	case "HTTP/1.1":
		x.head.minor = 1
		x.req.Proto, x.req.ProtoMajor, x.req.ProtoMinor = "HTTP/1.1", 1, 1
		return nil
	case "HTTP/1.0":
		x.req.Proto, x.req.ProtoMajor, x.req.ProtoMinor = "HTTP/1.0", 1, 0
		return nil
	}
	if len(v) != 8 || v[:5] != "HTTP/" || v[6] != '.' || !isDigit(v[5]) || !isDigit(v[7]) || v[5] == '0' {
		return malformed("bad-version", "want HTTP/1.1, not %.40q", v)
	}
	if v[5] != '1' {
		return refusal(505, "version", "%s is not spoken here", v)
	}
	return x.parseVersion("HTTP/1.1")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (x *exchange) parseRequestFields(lines string) *ProtocolError {
	for lines != "" {
		name, value, rest, err := nextField(lines)
		if err != nil {
			return err
		}
		if x.fields.count++; x.fields.count > x.limits.Fields {
			return refusal(431, "many-fields", "more than %d fields", x.limits.Fields)
		}
		if len(lines)-len(rest) > x.limits.FieldBytes {
			return refusal(431, "large-field", "field %.40q exceeds %d bytes", name, x.limits.FieldBytes)
		}
		lines = rest
		canonical, id := canonicalName(name)
		if id == idNone && !x.keepUnderscores && hasUnderscore(name) {
			continue
		}
		if id != idNone && id < idDate && x.ownField(id, value) {
			continue
		}
		x.fields.add(canonical, id, value)
	}
	return nil
}

// ownField notes the fields that the engine acts on; true means that the
// handler does not see the field in its header map.
func (x *exchange) ownField(id fieldID, value string) bool {
	h := &x.head
	switch id {
	case idHost:
		h.hosts++
		h.host = value
		return true
	case idContentLength:
		h.lengths++
		h.lengthRaw = value
	case idTransferEncoding:
		h.codings++
		h.coding = value
		return true
	case idConnection:
		x.connectionField(value)
	case idExpect:
		if h.expect != "" {
			value = h.expect + ", " + value
		}
		h.expect = value
	case idUpgrade:
		h.h2c = h.h2c || field.OffersH2C(value)
	case idHTTP2Settings, idProxy:
		return true
	}
	return false
}

func (x *exchange) connectionField(list string) {
	for list != "" {
		var option string
		option, list = nextElement(list)
		switch {
		case equalFold(option, "close"):
			x.head.close = true
		case equalFold(option, "keep-alive"):
			x.head.keepAlive = true
		case equalFold(option, "upgrade"):
			x.head.upgrade = true
		}
	}
}

// settleConnection decides about persistence and upgrades (RFC 9112 9.3, RFC
// 9110 7.8). An offer of h2c is dropped: the request is served as HTTP/1.1.
func (x *exchange) settleConnection() {
	h := &x.head
	if h.h2c || h.minor == 0 || !h.upgrade {
		delete(x.req.Header, "Upgrade")
		h.upgrade = false
	} else if _, ok := x.req.Header["Upgrade"]; !ok {
		h.upgrade = false
	}
	x.req.Close = h.close || h.minor == 0 && !h.keepAlive
}

func (x *exchange) settleTrailer() *ProtocolError {
	if x.fields.has(idTrailer) {
		t, err := announced(&x.fields)
		if err != nil {
			return err
		}
		x.req.Trailer = t
	}
	if x.head.framing != byChunks {
		x.req.Trailer = nil
	} else if x.req.Trailer == nil {
		// Not nil, so that a shallow copy of the request sees trailers
		// that were not announced.
		x.req.Trailer = make(http.Header)
	}
	return nil
}

// settleFraming finds how the body ends, or refuses (RFC 9112 6.1, 6.3).
func (x *exchange) settleFraming() *ProtocolError {
	h := &x.head
	switch {
	case h.codings > 0:
		if err := x.settleCoding(); err != nil {
			return err
		}
	case h.lengths > 1:
		return malformed("repeated-length", "%d Content-Length fields", h.lengths)
	case h.lengths == 1:
		n, ok := digits(h.lengthRaw)
		if !ok {
			return malformed("bad-length", "Content-Length: %.40q", h.lengthRaw)
		}
		h.framing, h.length = byLength, n
		x.req.ContentLength = n
	}
	if h.length == 0 && h.framing == byLength {
		h.framing = noBody
	}
	return x.settleExpect()
}

// chunkedOnly is the value of Request.TransferEncoding; never written.
var chunkedOnly = []string{"chunked"}

func (x *exchange) settleCoding() *ProtocolError {
	h := &x.head
	switch {
	case h.lengths > 0:
		return malformed("length-and-coding", "both Transfer-Encoding and Content-Length")
	case h.minor == 0:
		return malformed("coding-on-1.0", "Transfer-Encoding in an HTTP/1.0 request")
	case h.codings > 1:
		return malformed("repeated-coding", "%d Transfer-Encoding fields", h.codings)
	case !equalFold(h.coding, "chunked"):
		return codingError(h.coding)
	}
	h.framing = byChunks
	x.req.ContentLength = -1
	x.req.TransferEncoding = chunkedOnly
	return nil
}

// codingError tells a coding we do not have (501, RFC 9112 6.1) from one that
// leaves the end of the body undefined (400, RFC 9112 6.3).
func codingError(list string) *ProtocolError {
	last, chunked, rest := "", 0, list
	for rest != "" {
		last, rest = nextElement(rest)
		if equalFold(last, "chunked") {
			chunked++
		}
		if !field.IsToken(last) {
			return malformed("bad-coding", "Transfer-Encoding: %.40q", list)
		}
	}
	if chunked == 1 && equalFold(last, "chunked") && !strings.HasSuffix(trimOWS(list), ",") {
		return refusal(501, "coding", "Transfer-Encoding: %.40q", list)
	}
	return malformed("bad-coding", "Transfer-Encoding: %.40q", list)
}

// settleExpect knows one expectation (RFC 9110 10.1.1). In an HTTP/1.0 request
// it means nothing, and is not handed on.
func (x *exchange) settleExpect() *ProtocolError {
	h := &x.head
	switch {
	case h.expect == "":
		return nil
	case h.minor == 0:
		delete(x.fields.header, "Expect")
		return nil
	case !equalFold(h.expect, "100-continue"):
		return refusal(417, "expectation", "Expect: %.40q", h.expect)
	}
	h.expects = h.framing != noBody
	return nil
}
