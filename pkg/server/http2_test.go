package server

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawHTTP2 speaks HTTP/2 in frames, so that it can say what no client would.
type rawHTTP2 struct {
	*testing.T
	conn     *tls.Conn
	framer   *http2.Framer
	encoder  *hpack.Encoder
	block    bytes.Buffer
	settings map[http2.SettingID]uint32
}

func dialHTTP2(t *testing.T, address string) *rawHTTP2 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, ServerName: "shop.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &rawHTTP2{T: t, conn: conn, framer: http2.NewFramer(conn, conn), settings: map[http2.SettingID]uint32{}}
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	c.must(err)
	c.must(c.framer.WriteSettings())
	frame, err := c.framer.ReadFrame()
	c.must(err)
	c.must(frame.(*http2.SettingsFrame).ForeachSetting(func(s http2.Setting) error {
		c.settings[s.ID] = s.Val
		return nil
	}))
	c.must(c.framer.WriteSettingsAck())
	return c
}

func (c *rawHTTP2) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// request sends a head without a body; fields are names and values in turn.
func (c *rawHTTP2) request(stream uint32, fields ...string) {
	c.Helper()
	c.head(stream, true, fields...)
}

func (c *rawHTTP2) head(stream uint32, end bool, fields ...string) {
	c.Helper()
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.must(c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: end}))
}

// response reads until the end of a stream. A reset one gives "RST" and the name of the error.
func (c *rawHTTP2) response(stream uint32) (status, body string) {
	c.Helper()
	for {
		frame, err := c.framer.ReadFrame()
		c.must(err)
		if frame.Header().StreamID != stream {
			continue
		}
		ended := frame.Header().Flags.Has(http2.FlagDataEndStream)
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			status = f.PseudoValue("status")
		case *http2.DataFrame:
			body += string(f.Data())
		case *http2.RSTStreamFrame:
			return "RST", f.ErrCode.String()
		default:
			continue
		}
		if ended {
			return status, body
		}
	}
}

func (c *rawHTTP2) goAway() *http2.GoAwayFrame {
	c.Helper()
	for {
		frame, err := c.framer.ReadFrame()
		c.must(err)
		if f, ok := frame.(*http2.GoAwayFrame); ok {
			return f
		}
	}
}

func TestHTTP2Settings(t *testing.T) {
	s := start(t, tell)
	c := dialHTTP2(t, s.https)
	want := map[http2.SettingID]uint32{
		http2.SettingMaxConcurrentStreams:  128,
		http2.SettingEnableConnectProtocol: 1,
		http2.SettingMaxFrameSize:          16 << 10,
		http2.SettingInitialWindowSize:     streamWindow,
		http2.SettingMaxHeaderListSize:     64 << 10,
	}
	for id, value := range want {
		if got := c.settings[id]; got != value {
			t.Errorf("%v: got %d, want %d", id, got, value)
		}
	}
}

// What HTTP/1.1 upstream would misread never reaches the handler.
func TestHTTP2Refusals(t *testing.T) {
	pseudo := func(method, path, authority string, more ...string) []string {
		return append([]string{":method", method, ":scheme", "https", ":path", path, ":authority", authority}, more...)
	}
	cases := []struct {
		about  string
		fields []string
		status string
		body   string // the reason, or of a reset the code
	}{
		{"sound", pseudo("GET", "/a?b=c", "shop.example.com:443"), "200", "GET /a?b=c shop.example.com:443"},
		{"raw UTF-8 in the path", pseudo("GET", "/caf\xc3\xa9", "shop.example.com"), "200", "GET /caf\xc3\xa9 shop.example.com"},
		{"IPv6 host", pseudo("GET", "/", "[::1]:8443"), "200", "GET / [::1]:8443"},
		{"OPTIONS *", pseudo("OPTIONS", "*", "shop.example.com"), "200", "OPTIONS * shop.example.com"},
		{"Host agrees", pseudo("GET", "/", "shop.example.com", "host", "shop.example.com"), "200", "GET / shop.example.com"},
		{"Host instead of :authority", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "shop.example.com"}, "200", "GET / shop.example.com"},
		{"Host disagrees", pseudo("GET", "/", "shop.example.com", "host", "admin.example.com"), "RST", "PROTOCOL_ERROR"},
		{"two Hosts", pseudo("GET", "/", "a.example.com", "host", "a.example.com", "host", "a.example.com"), "RST", "PROTOCOL_ERROR"},
		{"no host at all", []string{":method", "GET", ":scheme", "https", ":path", "/"}, "400", "no-host"},
		{"user in host", pseudo("GET", "/", "me@shop.example.com"), "RST", "PROTOCOL_ERROR"},
		{"path in host", pseudo("GET", "/", "shop.example.com/x"), "RST", "PROTOCOL_ERROR"},
		{"odd bytes in host", pseudo("GET", "/", "shop$example.com"), "400", "bad-host"},
		{"bad port", pseudo("GET", "/", "shop.example.com:99999"), "400", "bad-host"},
		{"request line in method", pseudo("GET /admin HTTP/1.1", "/", "shop.example.com"), "400", "bad-method"},
		{"space in path", pseudo("GET", "/ HTTP/1.1", "shop.example.com"), "400", "bad-target"},
		{"fragment", pseudo("GET", "/a#b", "shop.example.com"), "400", "bad-target"},
		{"GET *", pseudo("GET", "*", "shop.example.com"), "400", "bad-target"},
		{"line feed in a value", pseudo("GET", "/", "shop.example.com", "x", "a\nb"), "RST", "PROTOCOL_ERROR"},
		{"upper case name", pseudo("GET", "/", "shop.example.com", "X-Upper", "a"), "RST", "PROTOCOL_ERROR"},
		{"length without a body", pseudo("POST", "/", "shop.example.com", "content-length", "5"), "RST", "PROTOCOL_ERROR"},
		{"no length", pseudo("POST", "/", "shop.example.com", "content-length", "+0"), "RST", "PROTOCOL_ERROR"},
		{"two lengths", pseudo("POST", "/", "shop.example.com", "content-length", "0", "content-length", "0"), "RST", "PROTOCOL_ERROR"},
		{"CONNECT", []string{":method", "CONNECT", ":authority", "db.example.com:5432"}, "405", "connect"},
		{"hop-by-hop field", pseudo("GET", "/", "shop.example.com", "connection", "upgrade"), "RST", "PROTOCOL_ERROR"},
		{"transfer coding", pseudo("POST", "/", "shop.example.com", "transfer-encoding", "gzip, chunked"), "RST", "PROTOCOL_ERROR"},
		{"TRACE", pseudo("TRACE", "/", "shop.example.com"), "405", "trace"},
		{"lower case method", pseudo("get", "/", "shop.example.com"), "501", "method"},
		{"unknown expectation", pseudo("GET", "/", "shop.example.com", "expect", "200-ok"), "417", "expectation"},
	}
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host)
	},
		func(o *Options) {
			o.Refused = func(h http.Header, r *http.Request, why Refusal) []byte {
				h.Set("X-Usher-Reason", "bad-request")
				if r.RemoteAddr == "" || r.TLS == nil || why.Detail == "" {
					t.Errorf("%s: told %q, %v, %q", why.Reason, r.RemoteAddr, r.TLS, why.Detail)
				}
				return []byte(why.Reason)
			}
		})
	for _, c := range cases {
		t.Run(c.about, func(t *testing.T) {
			raw := dialHTTP2(t, s.https)
			raw.request(1, c.fields...)
			status, body := raw.response(1)
			if status != c.status || body != c.body {
				t.Errorf("got %s %q, want %s %q", status, body, c.status, c.body)
			}
		})
	}
}

func TestHTTP2BodyIsAsLongAsItSays(t *testing.T) {
	s := start(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	c := dialHTTP2(t, s.https)
	c.head(1, false, ":method", "POST", ":scheme", "https", ":path", "/", ":authority", "a.example.com", "content-length", "3")
	c.must(c.framer.WriteData(1, true, []byte("four")))
	if status, code := c.response(1); status != "RST" || code != "PROTOCOL_ERROR" {
		t.Errorf("got %s %s", status, code)
	}
	if kind := <-s.events.http2; kind != "body-length" {
		t.Errorf("counted as %q", kind)
	}
}

// The scheme a client claims does not make a TLS request a plain one, and fields that CGI would mistake are dropped.
func TestHTTP2RequestIsAsItCame(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			w.WriteHeader(http.StatusTeapot)
		}
		var names []string
		for name := range r.Header {
			names = append(names, name)
		}
		_, _ = io.WriteString(w, strings.Join(names, ","))
	})
	c := dialHTTP2(t, s.https)
	c.request(1, ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a.example.com", "x_forwarded_for", "1.2.3.4", "proxy", "evil")
	if status, body := c.response(1); status != "200" || body != "" {
		t.Errorf("got %s %q", status, body)
	}
}

// A client that opens more streams than it may is refused those, not served and not cut.
func TestHTTP2StreamLimit(t *testing.T) {
	g := newGate()
	s := start(t, g.ServeHTTP, func(o *Options) { o.Limits.Streams = 2 })
	c := dialHTTP2(t, s.https)
	for stream := uint32(1); stream <= 5; stream += 2 {
		c.request(stream, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example.com")
	}
	if status, code := c.response(5); status != "RST" {
		t.Errorf("got %s %s", status, code)
	}
	close(g.leave)
}

// Rapid Reset (CVE-2023-44487): streams that are opened and reset at once must not make handlers without end.
func TestHTTP2RapidReset(t *testing.T) {
	g := newGate()
	g.entered = make(chan string, 10_000)
	s := start(t, g.ServeHTTP, func(o *Options) { o.Limits.Streams = 10 })
	c := dialHTTP2(t, s.https)
	go func() {
		for stream := uint32(1); stream < 4000; stream += 2 {
			c.block.Reset()
			for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "a"}} {
				_ = c.encoder.WriteField(f)
			}
			err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: true})
			if err != nil || c.framer.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
				return // cut, as it should be
			}
		}
	}()
	if f := c.goAway(); f.ErrCode != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("got %v", f.ErrCode)
	}
	if n := len(g.entered); n > 10 {
		t.Errorf("%d handlers ran, at most 10 may", n)
	}
	close(g.leave)
}
