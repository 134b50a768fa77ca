package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
)

// checkRequest refuses what cannot be written as one HTTP/1.1 request. Field
// names and values are checked while they are written.
func (x *clientExchange) checkRequest() error {
	req := x.req
	if req.URL == nil {
		return errors.New("nil Request.URL")
	}
	if m := req.Method; m != "" && m != "GET" && !field.IsToken(m) || m == "CONNECT" {
		return fmt.Errorf("method %q cannot be sent", m)
	}
	host := x.host()
	if host == "" {
		return errors.New("no Host")
	}
	return field.CheckSentHost(host)
}

func (x *clientExchange) host() string {
	if x.req.Host != "" {
		return x.req.Host
	}
	return x.req.URL.Host
}

// renderRequest writes the head into x.out.
func (x *clientExchange) renderRequest() error {
	b := x.out[:0]
	if x.req.Method == "" {
		b = append(b, "GET "...)
	} else {
		b = append(append(b, x.req.Method...), ' ')
	}
	b, err := x.appendTarget(b)
	if err != nil {
		return err
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(append(b, x.host()...), "\r\n"...)
	if b, err = appendRequestFields(b, x.req.Header); err != nil {
		return err
	}
	if x.call != nil {
		if b, err = appendGiven(b, x.call.Fields); err != nil {
			return err
		}
	}
	b = x.appendConnection(b)
	b = x.appendFraming(b)
	x.out = append(b, "\r\n"...)
	return nil
}

// appendTarget writes the request target, checked byte by byte.
func (x *clientExchange) appendTarget(b []byte) ([]byte, error) {
	u := x.req.URL
	start := len(b)
	switch {
	case u.Opaque != "":
		b = append(b, u.Opaque...)
	case u.Path == "*" && x.req.Method == "OPTIONS":
		b = append(b, '*')
	case u.RawPath != "" && unescapesTo(u.RawPath, u.Path):
		b = append(b, u.RawPath...)
	case isPlainPath(u.Path):
		b = append(b, u.Path...)
	default:
		b = append(b, u.EscapedPath()...)
	}
	if len(b) == start {
		b = append(b, '/')
	}
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	for i, c := range b[start:] {
		if class[c]&targetChar == 0 && c < 0x80 {
			return b, fmt.Errorf("byte %q at %d of the request target %.80q", c, i, b[start:])
		}
	}
	if c := b[start]; c != '/' && c != '*' && !strings.Contains(u.Opaque, "://") {
		return b, fmt.Errorf("the request target %.80q is not a path", b[start:])
	}
	return b, nil
}

func isPlainPath(p string) bool {
	for i := 0; i < len(p); i++ {
		if class[p[i]]&plainChar == 0 {
			return false
		}
	}
	return true
}

// unescapesTo reports whether raw, percent-decoded once, is path.
func unescapesTo(raw, path string) bool {
	j := 0
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) || class[raw[i+1]]&class[raw[i+2]]&hexChar == 0 {
				return false
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
		}
		if j == len(path) || path[j] != c {
			return false
		}
		j++
	}
	return j == len(path)
}

// appendRequestFields writes the fields that go from end to end.
func appendRequestFields(b []byte, h http.Header) ([]byte, error) {
	named := h["Connection"]
	for name, values := range h {
		id := lookupName(name)
		if id == idNone && !field.IsToken(name) {
			return b, fmt.Errorf("field name %q cannot be sent", name)
		}
		if id != idNone && hopByHop(id) || len(named) > 0 && listed(named, name) {
			continue
		}
		for _, v := range values {
			var err error
			if b, err = appendGivenField(b, name, v); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

// appendGiven writes the fields of Call.
func appendGiven(b []byte, fields []Field) (_ []byte, err error) {
	for i := range fields {
		if b, err = appendGivenField(b, fields[i].Name, fields[i].Value); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendGivenField(b []byte, name, value string) ([]byte, error) {
	if !isFieldValue(value) {
		return b, fmt.Errorf("the value of %s cannot be sent: %.80q", name, value)
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...), nil
}

// appendConnection writes the fields of this connection: an upgrade that the
// caller asks for, "TE: trailers", Expect, and the wish to close.
func (x *clientExchange) appendConnection(b []byte) []byte {
	h := x.req.Header
	options := ""
	if up := h["Upgrade"]; len(up) == 1 && listed(h["Connection"], "Upgrade") && isFieldValue(up[0]) {
		x.upgrade = true
		b = append(append(append(b, "Upgrade: "...), up[0]...), "\r\n"...)
		options = "Upgrade"
	}
	if te := h["Te"]; len(te) > 0 && listed(te, "trailers") {
		b = append(b, "TE: trailers\r\n"...)
		options = join(options, "TE")
	}
	if x.req.Close {
		options = join(options, "close")
	}
	if options != "" {
		b = append(append(append(b, "Connection: "...), options...), "\r\n"...)
	}
	if x.timeouts.Continue > 0 && x.hasBody() && listed(h["Expect"], "100-continue") && !x.arriving() {
		x.expect = true
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	return b
}

func join(list, e string) string {
	if list == "" {
		return e
	}
	return list + ", " + e
}

// repeatable reports whether the request can be sent again if the connection
// turns out to be dead (RFC 9110 9.2.2).
func (x *clientExchange) repeatable() bool {
	switch x.req.Method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE":
		return !x.hasBody()
	}
	return false
}

func (x *clientExchange) hasBody() bool { return x.withBody }

// appendFraming writes exactly one framing field, or none (RFC 9112 6).
func (x *clientExchange) appendFraming(b []byte) []byte {
	switch {
	case !x.hasBody():
		switch x.req.Method {
		case "POST", "PUT", "PATCH":
			b = append(b, "Content-Length: 0\r\n"...)
		}
	case x.req.ContentLength > 0:
		x.length = x.req.ContentLength
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, x.length, 10), "\r\n"...)
	default:
		x.length = -1
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		b = x.announceTrailer(b)
	}
	return b
}

func (x *clientExchange) announceTrailer(b []byte) []byte {
	sep := "Trailer: "
	for name := range x.req.Trailer {
		if id := lookupName(name); !field.IsToken(name) || forbiddenTrailer(id, name) {
			continue
		}
		b = append(append(b, sep...), name...)
		sep = ", "
	}
	if sep == ", " {
		b = append(b, "\r\n"...)
	}
	return b
}

// includeBody reads a short body behind the head, so that both leave in one
// write, and a client that does not finish it costs the upstream nothing.
func (x *clientExchange) includeBody() error {
	if !x.hasBody() || x.length < 0 || x.expect || x.length > int64(cap(x.out)-len(x.out)) {
		return nil
	}
	n := len(x.out)
	body := x.out[n : n+int(x.length)]
	if _, err := io.ReadFull(x.req.Body, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	x.out = x.out[:n+int(x.length)]
	x.bodyIncluded = true
	return nil
}
