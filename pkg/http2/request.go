package http2

import (
	"encoding/binary"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/usher-ingress/usher/pkg/http1"
)

// receiveHeaders reads a field section to its end, and begins a request or ends one's body with it.
func (c *conn) receiveHeaders(f frame) error {
	if f.stream%2 == 0 {
		return broken(codeProtocol, "bad-stream-id")
	}
	if err := f.unpad(); err != nil {
		return err
	}
	self := false
	if f.has(flagPriority) {
		switch {
		case len(f.payload) >= 5:
		case f.has(flagPadded): // there is more padding than room for it, RFC 9113 section 6.2
			return broken(codeProtocol, "padding")
		default:
			return broken(codeFrameSize, "headers-size")
		}
		self = binary.BigEndian.Uint32(f.payload)&maxWindow == f.stream
		f.payload = f.payload[5:]
	}
	c.fields.reset(&c.server.limits)
	end := f.has(flagEndStream)
	if err := c.decode(f); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[f.stream]; st != nil {
		return c.receiveTrailer(st, end)
	}
	if f.stream <= c.last {
		switch {
		case c.resetByUs(f.stream):
			return c.flood.idleFrame()
		case c.closedLately(f.stream):
			return broken(codeStreamClosed, "headers-after-end")
		}
		return broken(codeProtocol, "bad-stream-id")
	}
	if c.final {
		c.ignored = max(c.ignored, f.stream)
		return nil
	}
	c.last = f.stream
	if self {
		return c.resetByClient(f.stream, codeProtocol, "priority-self")
	}
	return c.begin(f.stream, end)
}

// decode feeds a field section to the decoder, CONTINUATION frames and all.
// How long it is on the wire is bounded at twice what is allowed decoded.
func (c *conn) decode(f frame) error {
	stream, size, frames := f.stream, 0, 0
	var held int64
	defer func() { c.server.Heads.Release(held) }()
	for {
		size += len(f.payload)
		if frames++; size > 2*c.server.limits.HeadBytes || frames > 8+c.server.limits.HeadBytes/1024 {
			return broken(codeEnhanceYourCalm, "headers-too-long")
		}
		if _, err := c.decoder.Write(f.payload); err != nil {
			return broken(codeCompression, "hpack")
		}
		if f.has(flagEndHeaders) {
			break
		}
		var ok bool
		if held, ok = c.server.Heads.Hold(held, max(size, c.fields.size)); !ok {
			c.fields.refuse()
		}
		c.inBlock = true
		next, err := c.next()
		c.inBlock = false
		if err != nil {
			return err
		}
		if next.kind != frameContinuation || next.stream != stream {
			return broken(codeProtocol, "no-continuation")
		}
		f = next
	}
	if c.decoder.Close() != nil {
		return broken(codeCompression, "hpack")
	}
	return nil
}

// receiveTrailer takes the fields that follow a body. The lock is held.
func (c *conn) receiveTrailer(st *stream, end bool) error {
	s := &c.fields
	switch {
	case st.ended:
		return c.resetByClient(st.id, codeStreamClosed, "headers-after-end")
	case !end || s.seen != 0 || s.flaw != "" || s.tooLarge:
		return c.resetByClient(st.id, codeProtocol, "bad-trailer")
	case st.body.received < st.body.length:
		return c.resetByClient(st.id, codeProtocol, "body-length")
	}
	trailer := http.Header{}
	for i, name := range s.names {
		trailer[name] = append(trailer[name], s.values[i])
	}
	st.ended = true
	st.body.end(trailer)
	return nil
}

// flawed applies the rules of RFC 9113 sections 8.2 and 8.3 that need the whole section.
func (s *fieldSet) flawed(end bool) string {
	const all = sawMethod | sawScheme | sawPath
	switch {
	case s.flaw != "":
		return s.flaw
	case s.seen&sawProtocol != 0: // RFC 8441 section 4
		if s.method != "CONNECT" || s.seen&all != all || s.path == "" || s.authority == "" || !validName(strings.ToLower(s.protocol)) || s.length >= 0 {
			return "bad-pseudo-field"
		}
	case s.method == "CONNECT":
		if s.seen&all != sawMethod || s.authority == "" {
			return "bad-pseudo-field"
		}
	case s.seen&all != all || s.method == "" || s.path == "":
		return "bad-pseudo-field"
	}
	switch {
	case s.seen&sawScheme != 0 && s.scheme != "http" && s.scheme != "https":
		return "bad-pseudo-field"
	case s.hosts > 1 || s.hosts == 1 && s.seen&sawAuthority != 0 && !strings.EqualFold(s.host, s.authority):
		return "bad-host"
	case strings.ContainsAny(s.authority, "@/"):
		return "bad-host"
	case end && s.length > 0:
		return "body-length"
	}
	return ""
}

// begin makes a request of the section. The lock is held.
func (c *conn) begin(id uint32, end bool) error {
	s := &c.fields
	if !s.tooLarge {
		if flaw := s.flawed(end); flaw != "" {
			return c.resetByClient(id, codeProtocol, flaw)
		}
	}
	if len(c.streams) >= c.maxStreams || c.running >= c.maxStreams {
		return c.resetByClient(id, codeRefusedStream, "over-stream-limit")
	}
	st := newStream(c, id, end)
	if !s.tooLarge && !st.fill(s) {
		return c.resetByClient(id, codeProtocol, "bad-path")
	}
	if c.streams[id] = st; len(c.streams) == 1 {
		c.server.active.Add(1)
	}
	if c.late {
		c.announceEnd()
	}
	c.running++
	c.handlers.Add(1)
	st.tooLarge = s.tooLarge
	c.server.workers.run(st)
	return nil
}

// extend makes an extended CONNECT what it is in HTTP/1.1: GET with Upgrade
// (RFC 8441 section 5). Its DATA are not a body.
func (st *stream) extend(protocol string) {
	st.req.Method, st.req.Body, st.req.ContentLength = http.MethodGet, http.NoBody, 0
	st.extended = strings.ToLower(protocol)
	st.header["Connection"] = []string{"Upgrade"}
	st.header["Upgrade"] = []string{st.extended}
	st.response.expected = false
}

// fill makes the http.Request. False: the path cannot be decoded.
func (st *stream) fill(s *fieldSet) bool {
	r := &st.req
	r.Method, r.RequestURI, r.Host, r.ContentLength = s.method, s.path, s.authority, s.length
	if st.body != nil {
		st.body.length = s.length
	}
	if s.seen&sawAuthority == 0 {
		r.Host = s.host
	}
	if s.length < 0 && st.ended {
		r.ContentLength = 0
	}
	h := st.header
	for i, name := range s.names {
		if old, ok := h[name]; ok {
			h[name] = append(old, s.values[i])
			continue
		}
		at := len(st.values)
		st.values = append(st.values, s.values[i])
		h[name] = st.values[at : at+1 : at+1]
	}
	switch len(s.cookies) {
	case 0:
	case 1:
		at := len(st.values)
		st.values = append(st.values, s.cookies[0])
		h["Cookie"] = st.values[at : at+1 : at+1]
	default:
		h["Cookie"] = []string{strings.Join(s.cookies, "; ")} // RFC 9113 section 8.2.3
	}
	if expect := h["Expect"]; len(expect) == 1 && strings.EqualFold(expect[0], "100-continue") {
		st.response.expected = !st.ended
		delete(h, "Expect")
	}
	st.announce()
	if s.seen&sawProtocol != 0 {
		st.extend(s.protocol)
	}
	return st.target(s.path)
}

// announce makes r.Trailer of the Trailer fields, as net/http does.
func (st *stream) announce() {
	for _, list := range st.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			if name == "" || http1.ForbiddenTrailer(name) {
				continue
			}
			if st.req.Trailer == nil {
				st.req.Trailer = http.Header{}
			}
			st.req.Trailer[name] = nil
		}
	}
	delete(st.header, "Trailer")
}

// target splits path and query; url.URL.RawPath keeps the bytes as sent where decoding changes them.
func (st *stream) target(path string) bool {
	u := &st.url
	if i := strings.IndexByte(path, '?'); i >= 0 {
		u.RawQuery = path[i+1:]
		u.ForceQuery = u.RawQuery == ""
		path = path[:i]
	}
	u.Path = path
	for i := 0; i < len(path); i++ {
		c := path[i]
		if alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'; alnum || strings.IndexByte("/-._~", c) >= 0 {
			continue
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return false
		}
		u.Path, u.RawPath = decoded, path
		break
	}
	return true
}
