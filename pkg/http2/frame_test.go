package http2

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer speaks HTTP/2 in frames, so that it can say what no client would.
type peer struct {
	*testing.T
	conn    *tls.Conn
	framer  *xhttp2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
}

func dial(t *testing.T, address string, settings ...xhttp2.Setting) *peer {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // ends a test that would hang
	p := &peer{T: t, conn: conn, framer: xhttp2.NewFramer(conn, conn)}
	p.framer.AllowIllegalWrites = true
	p.encoder = hpack.NewEncoder(&p.block)
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, preface)
	p.must(err)
	p.must(p.framer.WriteSettings(settings...))
	return p
}

func (p *peer) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// encode makes a field section; fields are names and values in turn.
func (p *peer) encode(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.must(p.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(p.block.Bytes())
}

func sound(more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example.com"}, more...)
}

func post(more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "https", ":path", "/", ":authority", "a.example.com"}, more...)
}

func connect(protocol string) []string {
	return []string{":method", "CONNECT", ":protocol", protocol, ":scheme", "https", ":path", "/", ":authority", "a.example.com"}
}

func (p *peer) head(stream uint32, end bool, fields ...string) {
	p.must(p.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: stream, BlockFragment: p.encode(fields...), EndHeaders: true, EndStream: end}))
}

// get asks on a stream, which must be answered.
func (p *peer) get(stream uint32) {
	p.Helper()
	p.head(stream, true, sound()...)
	if got := p.outcome(stream); got != "200" {
		p.Fatalf("stream %d: got %s", stream, got)
	}
}

// outcome reads until a stream or the connection ends: the status, "RST code", or "GOAWAY code".
func (p *peer) outcome(stream uint32) string {
	p.Helper()
	status := ""
	for {
		frame, err := p.framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return "EOF"
		}
		p.must(err)
		if f, ok := frame.(*xhttp2.GoAwayFrame); ok {
			return "GOAWAY " + f.ErrCode.String()
		}
		if frame.Header().StreamID != stream || stream == 0 {
			continue
		}
		switch f := frame.(type) {
		case *xhttp2.MetaHeadersFrame:
			if status = f.PseudoValue("status"); f.StreamEnded() {
				return status
			}
		case *xhttp2.DataFrame:
			if f.StreamEnded() {
				return status
			}
		case *xhttp2.RSTStreamFrame:
			return "RST " + f.ErrCode.String()
		}
	}
}

// want is outcome where only one will do.
func (p *peer) want(stream uint32, want string) {
	p.Helper()
	if got := p.outcome(stream); got != want {
		p.Fatalf("stream %d: got %s, want %s", stream, got, want)
	}
}

// first names the next frame that is about a stream, and the stream.
func (p *peer) first() string {
	p.Helper()
	for {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		if h := frame.Header(); h.StreamID != 0 {
			return fmt.Sprint(h.Type, " ", h.StreamID)
		}
	}
}

func quick(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Hold") != "" {
		<-r.Context().Done()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "ok")
}

// What a client must not send, section by section of RFC 9113, and the error that each must have. What is named here as a stream's
// error must leave the connection in use, which every case tries.
func TestFrameRules(t *testing.T) {
	type rule struct {
		about string
		do    func(p *peer)
		want  string // of stream 1
	}
	raw := func(kind xhttp2.FrameType, flags xhttp2.Flags, stream uint32, payload string) func(*peer) {
		return func(p *peer) { p.must(p.framer.WriteRawFrame(kind, flags, stream, []byte(payload))) }
	}
	heads := func(end bool, fields ...string) func(*peer) {
		return func(p *peer) { p.head(1, end, fields...) }
	}
	setting := func(id xhttp2.SettingID, value uint32) func(*peer) {
		return func(p *peer) { p.must(p.framer.WriteSettings(xhttp2.Setting{ID: id, Val: value})) }
	}
	opened := func(then func(p *peer)) func(*peer) {
		return func(p *peer) {
			p.head(1, false, post()...)
			then(p)
		}
	}
	served := func(then func(p *peer)) func(*peer) {
		return func(p *peer) {
			p.get(1)
			then(p)
		}
	}
	begun := func(then func(p *peer)) func(*peer) { // between HEADERS and CONTINUATION
		return func(p *peer) {
			p.must(p.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.encode(sound()...), EndStream: true}))
			then(p)
		}
	}
	rules := []rule{
		{"4.1 unknown frame types are ignored", func(p *peer) { raw(0xbb, 0xff, 0, "x")(p); p.head(1, true, sound()...) }, "200"},
		{"4.1 unknown flags and the reserved bit are ignored", func(p *peer) { raw(xhttp2.FramePing, 0x16, 1<<31, "12345678")(p); p.head(1, true, sound()...) }, "200"},
		{"4.2 too long a frame", raw(xhttp2.FrameData, 0, 1, strings.Repeat("x", 16385)), "GOAWAY FRAME_SIZE_ERROR"},
		{"4.3 a section that cannot be decoded", raw(xhttp2.FrameHeaders, 0x5, 1, "\xff\xff\xff\xff\xff\xff"), "GOAWAY COMPRESSION_ERROR"},
		{"4.3 a section that ends within a field", raw(xhttp2.FrameHeaders, 0x5, 1, "\x40\x05ab"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 2.3.3 an index beyond the table", raw(xhttp2.FrameHeaders, 0x5, 1, "\xff\x80\x01"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 6.1 index 0", raw(xhttp2.FrameHeaders, 0x5, 1, "\x80"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 6.3 a table above the limit", raw(xhttp2.FrameHeaders, 0x5, 1, "\x3f\xe2\x1f"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 4.2 a table size after a field", raw(xhttp2.FrameHeaders, 0x5, 1, "\x40\x01a\x01b\x20"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 5.2 padding that is not EOS", raw(xhttp2.FrameHeaders, 0x5, 1, "\x00\x81\x00\x01x"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 5.1 an integer without end", raw(xhttp2.FrameHeaders, 0x5, 1, "\xff"+strings.Repeat("\xff", 20)+"\x01"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 5.2 EOS in a string", raw(xhttp2.FrameHeaders, 0x5, 1, "\x00\x84\xff\xff\xff\xff\x01x"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 5.2 a string longer than its section", raw(xhttp2.FrameHeaders, 0x5, 1, "\x00\x01x\x7fy"), "GOAWAY COMPRESSION_ERROR"},
		{"RFC 7541 6.3 a table size at the start", func(p *peer) {
			p.must(p.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: append([]byte("\x3f\xe1\x1f"), p.encode(sound()...)...), EndHeaders: true, EndStream: true}))
		}, "200"},
		{"5.1 DATA after the end", func(p *peer) { p.head(1, true, post("x-hold", "1")...); raw(xhttp2.FrameData, 0, 1, "x")(p) }, "RST STREAM_CLOSED"},
		{"5.1 HEADERS after the end", func(p *peer) { p.head(1, true, post("x-hold", "1")...); p.head(1, true, "x", "y") }, "RST STREAM_CLOSED"},
		{"5.1 DATA on an idle stream", raw(xhttp2.FrameData, 0, 1, "x"), "GOAWAY PROTOCOL_ERROR"},
		{"5.1 RST_STREAM on an idle stream", raw(xhttp2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08"), "GOAWAY PROTOCOL_ERROR"},
		{"5.1 WINDOW_UPDATE on an idle stream", raw(xhttp2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x08"), "GOAWAY PROTOCOL_ERROR"},
		{"5.1 DATA on a closed stream", served(raw(xhttp2.FrameData, 0, 1, "x")), "RST STREAM_CLOSED"},
		{"5.1 HEADERS on a closed stream", served(heads(true, sound()...)), "GOAWAY STREAM_CLOSED"},
		{"5.1.1 an even stream", func(p *peer) { p.head(2, true, sound()...) }, "GOAWAY PROTOCOL_ERROR"},
		{"5.1.1 a lower stream", func(p *peer) { p.get(5); p.head(3, true, sound()...) }, "GOAWAY PROTOCOL_ERROR"},
		{"5.3 a stream that depends on itself", opened(raw(xhttp2.FramePriority, 0, 1, "\x00\x00\x00\x01\x10")), "RST PROTOCOL_ERROR"},
		{"6.4 no RST_STREAM on an idle stream: PRIORITY of itself", raw(xhttp2.FramePriority, 0, 1, "\x00\x00\x00\x01\x10"), "GOAWAY PROTOCOL_ERROR"},
		{"6.4 no RST_STREAM on an idle stream: PRIORITY of another size", raw(xhttp2.FramePriority, 0, 1, "\x00\x00\x01"), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.3 PRIORITY of another size", opened(raw(xhttp2.FramePriority, 0, 1, "\x00\x00\x01")), "RST FRAME_SIZE_ERROR"},
		{"6.3 PRIORITY on an idle stream", func(p *peer) { raw(xhttp2.FramePriority, 0, 3, "\x00\x00\x00\x05\x10")(p); p.head(1, true, sound()...) }, "200"},
		{"5.1 PRIORITY on a closed stream", func(p *peer) {
			p.get(1)
			raw(xhttp2.FramePriority, 0, 1, "\x00\x00\x00\x05\x10")(p)
			p.head(1+4, true, sound()...)
			p.want(5, "200")
		}, ""},
		{"5.1 WINDOW_UPDATE and RST_STREAM on a closed stream", func(p *peer) {
			p.get(1)
			raw(xhttp2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x08")(p)
			raw(xhttp2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")(p)
			p.get(5)
		}, ""},
		{"5.1 frames after our RST_STREAM are ignored", func(p *peer) {
			p.head(1, false, post("X", "y")...)
			p.want(1, "RST PROTOCOL_ERROR")
			raw(xhttp2.FrameData, 0, 1, "x")(p)
			raw(xhttp2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x08")(p)
			p.head(1, true, "x", "y")
			p.head(5, true, sound()...)
			if got := p.first(); got != "HEADERS 5" {
				p.Errorf("got %s", got)
			}
		}, ""},
		{"5.1 DATA after the client's RST_STREAM", opened(func(p *peer) {
			raw(xhttp2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")(p)
			raw(xhttp2.FrameData, 0, 1, "x")(p)
		}), "RST STREAM_CLOSED"},
		{"5.1 HEADERS after the client's RST_STREAM", opened(func(p *peer) { raw(xhttp2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")(p); p.head(1, true, "x", "y") }), "GOAWAY STREAM_CLOSED"},
		{"5.1.1 streams skipped are closed", func(p *peer) { p.get(5); raw(xhttp2.FrameData, 0, 3, "x")(p); p.want(3, "RST STREAM_CLOSED") }, ""},
		{"6.1 padding without its length", opened(raw(xhttp2.FrameData, 0x8, 1, "")), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.2 padding beyond the priority", raw(xhttp2.FrameHeaders, 0x2d, 1, "\x06\x00\x00\x00\x00\x10\x82\x84"), "GOAWAY PROTOCOL_ERROR"},
		{"6.2 no room for the priority", raw(xhttp2.FrameHeaders, 0x25, 1, "\x00\x00"), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.9.2 a setting that overflows a stream's window", opened(func(p *peer) {
			raw(xhttp2.FrameWindowUpdate, 0, 1, "\x00\x00\xff\xff")(p)
			setting(xhttp2.SettingInitialWindowSize, maxWindow)(p)
		}), "GOAWAY FLOW_CONTROL_ERROR"},
		{"6.10 CONTINUATION after the end of a section", func(p *peer) { p.head(1, false, post()...); raw(xhttp2.FrameContinuation, 0x4, 1, "\x82")(p) }, "GOAWAY PROTOCOL_ERROR"},
		{"6.10 CONTINUATION on the connection", raw(xhttp2.FrameContinuation, 0x4, 0, "\x82"), "GOAWAY PROTOCOL_ERROR"},
		{"4.2 too long SETTINGS", raw(xhttp2.FrameSettings, 0, 0, strings.Repeat("\x00\x99\x00\x00\x00\x00", 2731)), "GOAWAY FRAME_SIZE_ERROR"},
		{"8.1 trailers with a connection field", opened(heads(true, "connection", "close")), "RST PROTOCOL_ERROR"},
		{"6.1 DATA on the connection", raw(xhttp2.FrameData, 0, 0, "x"), "GOAWAY PROTOCOL_ERROR"},
		{"6.1 padding as long as the payload", opened(raw(xhttp2.FrameData, 0x8, 1, "\x04abc")), "GOAWAY PROTOCOL_ERROR"},
		{"6.1 padding is no body", opened(raw(xhttp2.FrameData, 0x9, 1, "\x02abb")), "200"},
		{"6.2 HEADERS on the connection", raw(xhttp2.FrameHeaders, 0x5, 0, "\x82"), "GOAWAY PROTOCOL_ERROR"},
		{"6.2 padding as long as the payload", raw(xhttp2.FrameHeaders, 0xd, 1, "\x05\x82\x82"), "GOAWAY PROTOCOL_ERROR"},
		{"6.2 another frame in a section", begun(raw(xhttp2.FramePing, 0, 0, "12345678")), "GOAWAY PROTOCOL_ERROR"},
		{"6.2 another stream's CONTINUATION", begun(raw(xhttp2.FrameContinuation, 0x4, 3, "")), "GOAWAY PROTOCOL_ERROR"},
		{"6.2 an unknown frame in a section", begun(raw(0xbb, 0, 1, "")), "GOAWAY PROTOCOL_ERROR"},
		{"6.3 PRIORITY on the connection", raw(xhttp2.FramePriority, 0, 0, "\x00\x00\x00\x01\x10"), "GOAWAY PROTOCOL_ERROR"},
		{"6.4 RST_STREAM on the connection", raw(xhttp2.FrameRSTStream, 0, 0, "\x00\x00\x00\x08"), "GOAWAY PROTOCOL_ERROR"},
		{"6.4 RST_STREAM of another size", opened(raw(xhttp2.FrameRSTStream, 0, 1, "\x00\x00\x08")), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.5 SETTINGS on a stream", raw(xhttp2.FrameSettings, 0, 1, ""), "GOAWAY PROTOCOL_ERROR"},
		{"6.5 an ACK with settings", raw(xhttp2.FrameSettings, 0x1, 0, "123456"), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.5 SETTINGS of another size", raw(xhttp2.FrameSettings, 0, 0, "12345"), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.5.2 ENABLE_PUSH", setting(xhttp2.SettingEnablePush, 2), "GOAWAY PROTOCOL_ERROR"},
		{"6.5.2 INITIAL_WINDOW_SIZE", setting(xhttp2.SettingInitialWindowSize, 1<<31), "GOAWAY FLOW_CONTROL_ERROR"},
		{"6.5.2 MAX_FRAME_SIZE below", setting(xhttp2.SettingMaxFrameSize, 16383), "GOAWAY PROTOCOL_ERROR"},
		{"6.5.2 MAX_FRAME_SIZE above", setting(xhttp2.SettingMaxFrameSize, 1<<24), "GOAWAY PROTOCOL_ERROR"},
		{"6.5.2 unknown settings are ignored", func(p *peer) { setting(0xff, 1)(p); p.head(1, true, sound()...) }, "200"},
		{"6.6 PUSH_PROMISE", opened(raw(xhttp2.FramePushPromise, 0x4, 1, "\x00\x00\x00\x02\x82")), "GOAWAY PROTOCOL_ERROR"},
		{"6.7 PING on a stream", raw(xhttp2.FramePing, 0, 1, "12345678"), "GOAWAY PROTOCOL_ERROR"},
		{"6.7 PING of another size", raw(xhttp2.FramePing, 0, 0, "123456"), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.8 GOAWAY on a stream", raw(xhttp2.FrameGoAway, 0, 1, "\x00\x00\x00\x00\x00\x00\x00\x00"), "GOAWAY PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE of 0 on the connection", raw(xhttp2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x00"), "GOAWAY PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE of 0 on a stream", opened(raw(xhttp2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x00")), "RST PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE of another size", raw(xhttp2.FrameWindowUpdate, 0, 0, "\x00\x00\x01"), "GOAWAY FRAME_SIZE_ERROR"},
		{"6.9.1 the connection's window too large", raw(xhttp2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"), "GOAWAY FLOW_CONTROL_ERROR"},
		{"6.9.1 a stream's window too large", opened(raw(xhttp2.FrameWindowUpdate, 0, 1, "\x7f\xff\xff\xff")), "RST FLOW_CONTROL_ERROR"},
		{"6.10 CONTINUATION without HEADERS", raw(xhttp2.FrameContinuation, 0x4, 1, "\x82"), "GOAWAY PROTOCOL_ERROR"},
		{"6.10 CONTINUATION", begun(raw(xhttp2.FrameContinuation, 0x4, 1, "")), "200"},
		{"8.1 a second head without END_STREAM", opened(heads(false, "x", "y")), "RST PROTOCOL_ERROR"},
		{"8.1 trailers with a pseudo-field", opened(heads(true, ":method", "GET")), "RST PROTOCOL_ERROR"},
		{"8.1 trailers", opened(heads(true, "x", "y")), "200"},
		{"8.1.1 a body shorter than its length", func(p *peer) {
			p.head(1, false, post("content-length", "2")...)
			p.must(p.framer.WriteData(1, true, []byte("x")))
		}, "RST PROTOCOL_ERROR"},
		{"8.1.1 a body longer than its length", func(p *peer) {
			p.head(1, false, post("content-length", "2")...)
			p.must(p.framer.WriteData(1, true, []byte("xxx")))
		}, "RST PROTOCOL_ERROR"},
		{"8.1.1 a length without a body", heads(true, post("content-length", "2")...), "RST PROTOCOL_ERROR"},
		{"8.2.1 upper case", heads(true, sound("X-Upper", "a")...), "RST PROTOCOL_ERROR"},
		{"8.2.1 a space in a name", heads(true, sound("a b", "a")...), "RST PROTOCOL_ERROR"},
		{"8.2.1 no name", heads(true, sound("", "a")...), "RST PROTOCOL_ERROR"},
		{"8.2.1 a line feed in a value", heads(true, sound("x", "a\nb")...), "RST PROTOCOL_ERROR"},
		{"8.2.1 a NUL in a value", heads(true, sound("x", "a\x00b")...), "RST PROTOCOL_ERROR"},
		{"8.2.1 a space at the end of a value", heads(true, sound("x", "a ")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 connection", heads(true, sound("connection", "close")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 keep-alive", heads(true, sound("keep-alive", "1")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 proxy-connection", heads(true, sound("proxy-connection", "close")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 transfer-encoding", heads(false, post("transfer-encoding", "chunked")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 upgrade", heads(true, sound("upgrade", "h2c")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 te", heads(true, sound("te", "trailers, deflate")...), "RST PROTOCOL_ERROR"},
		{"8.2.2 te: trailers", heads(true, sound("te", "trailers")...), "200"},
		{"8.3 an unknown pseudo-field", heads(true, append([]string{":a", "b"}, sound()...)...), "RST PROTOCOL_ERROR"},
		{"8.3 a response's pseudo-field", heads(true, append([]string{":status", "200"}, sound()...)...), "RST PROTOCOL_ERROR"},
		{"8.3 a pseudo-field after a field", heads(true, ":method", "GET", ":scheme", "https", "x", "y", ":path", "/"), "RST PROTOCOL_ERROR"},
		{"8.3 a pseudo-field twice", heads(true, append([]string{":method", "GET"}, sound()...)...), "RST PROTOCOL_ERROR"},
		{"8.3.1 no :method", heads(true, ":scheme", "https", ":path", "/"), "RST PROTOCOL_ERROR"},
		{"8.3.1 no :scheme", heads(true, ":method", "GET", ":path", "/"), "RST PROTOCOL_ERROR"},
		{"8.3.1 no :path", heads(true, ":method", "GET", ":scheme", "https"), "RST PROTOCOL_ERROR"},
		{"8.3.1 an empty :path", heads(true, ":method", "GET", ":scheme", "https", ":path", ""), "RST PROTOCOL_ERROR"},
		{"8.3.1 user information", heads(true, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "me@a"), "RST PROTOCOL_ERROR"},
		{"8.3.1 another Host", heads(true, sound("host", "b.example.com")...), "RST PROTOCOL_ERROR"},
		{"8.5 CONNECT with a path", heads(true, ":method", "CONNECT", ":path", "/", ":authority", "a:1"), "RST PROTOCOL_ERROR"},
		{"8.5 CONNECT without an authority", heads(true, ":method", "CONNECT"), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 :protocol of another method", heads(true, append([]string{":protocol", "websocket"}, sound()...)...), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 no :path", heads(false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a"), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 no :scheme", heads(false, ":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":authority", "a"), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 no :authority", heads(false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/"), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 no token", heads(false, connect("web socket")...), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 a length", heads(false, append(connect("websocket"), "content-length", "5")...), "RST PROTOCOL_ERROR"},
		{"RFC 8441 4 another protocol", heads(true, connect("connect-udp")...), "501"},
		{"10.5.1 too large a head", heads(true, sound("x", strings.Repeat("x", 9000))...), "431"},
	}
	address := serve(t, &Server{Handler: http.HandlerFunc(quick), Limits: Limits{HeadBytes: 8 << 10}})
	for _, r := range rules {
		t.Run(r.about, func(t *testing.T) {
			p := dial(t, address)
			r.do(p)
			if r.want == "" { // it has looked for itself
				return
			}
			if got := p.outcome(1); got != r.want {
				t.Fatalf("got %s, want %s", got, r.want)
			}
			if !strings.HasPrefix(r.want, "GOAWAY") {
				p.get(7)
			}
		})
	}
}

func TestPreface(t *testing.T) {
	address := serve(t, &Server{Handler: http.HandlerFunc(quick)})
	for about, bytes := range map[string]string{
		"another protocol": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"no SETTINGS":      preface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
		"only an ACK":      preface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
	} {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, bytes)
		p := &peer{T: t, conn: conn, framer: xhttp2.NewFramer(conn, conn)}
		if got := p.outcome(0); got != "GOAWAY PROTOCOL_ERROR" {
			t.Errorf("%s: got %s", about, got)
		}
		conn.Close()
	}
}
