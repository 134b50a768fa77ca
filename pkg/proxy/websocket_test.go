package proxy_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/net/websocket"

	"github.com/usher-ingress/usher/pkg/policy"
)

// extended speaks HTTP/2 in frames, since no client of the standard library sends extended CONNECT.
type extended struct {
	*testing.T
	framer *xhttp2.Framer
	status string
	fields map[string]string
}

// openExtended asks for a WebSocket and reads the head of the answer.
func (r *rig) openExtended(more ...string) *extended {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // ends a test that would hang
	e := &extended{T: r.t, framer: xhttp2.NewFramer(conn, conn), fields: map[string]string{}}
	e.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, xhttp2.ClientPreface)
	e.must(err)
	e.must(e.framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{":method", "CONNECT", ":scheme", "https", ":path", "/ws?a=b", ":authority", "app.test", ":protocol", "websocket",
		"sec-websocket-version", "13", "origin", "https://app.test"}, more...)
	for i := 0; i < len(fields); i += 2 {
		e.must(encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	e.must(e.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}))
	for e.status == "" {
		frame, err := e.framer.ReadFrame()
		e.must(err)
		if f, ok := frame.(*xhttp2.MetaHeadersFrame); ok {
			for _, field := range f.Fields {
				e.fields[field.Name] = field.Value
			}
			e.status = e.fields[":status"]
		}
	}
	return e
}

func (e *extended) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// end reads the stream to its end: the bytes, and "END" or the name of the reset.
func (e *extended) end() (got, how string) {
	e.Helper()
	for {
		frame, err := e.framer.ReadFrame()
		e.must(err)
		switch f := frame.(type) {
		case *xhttp2.DataFrame:
			got += string(f.Data())
			if f.StreamEnded() {
				return got, "END"
			}
		case *xhttp2.RSTStreamFrame:
			return got, f.ErrCode.String()
		}
	}
}

// TestWebSocketOverHTTP2: a stream of HTTP/2 and a connection of HTTP/1.1 are one WebSocket (RFC 8441).
func TestWebSocketOverHTTP2(t *testing.T) {
	asked := make(chan *http.Request, 1)
	app := httptest.NewServer(websocket.Server{
		Handshake: func(_ *websocket.Config, r *http.Request) error { asked <- r; return nil },
		Handler:   func(c *websocket.Conn) { _, _ = io.Copy(c, c) },
	})
	defer app.Close()
	r := newRig(t, tableOf([]string{app.Listener.Addr().String()}))
	e := r.openExtended("sec-websocket-key", "of-no-use")
	if e.status != "200" || e.fields["sec-websocket-accept"] != "" || e.fields["upgrade"] != "" || e.fields["connection"] != "" {
		t.Fatalf("%v", e.fields)
	}
	up := <-asked
	if up.Method != http.MethodGet || up.URL.RequestURI() != "/ws?a=b" || up.Host != "app.test" || up.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("asked for %s %s of %s, %v", up.Method, up.URL, up.Host, up.Header)
	}
	e.must(e.framer.WriteData(1, false, []byte("\x81\x82\x00\x00\x00\x00hi"))) // a masked text frame
	for got := ""; got != "\x81\x02hi"; {
		frame, err := e.framer.ReadFrame()
		e.must(err)
		if f, ok := frame.(*xhttp2.DataFrame); ok {
			got += string(f.Data())
		}
	}
	if r.proxy.Tunnels().Count() != 1 {
		t.Errorf("%d tunnels", r.proxy.Tunnels().Count())
	}
	e.must(e.framer.WriteData(1, true, nil))
	if got, how := e.end(); how != "END" {
		t.Errorf("the end: %q, %s", got, how)
	}
	rec := r.record(1)
	if rec.Status != 200 || rec.Reason != "" || rec.Error != "" || rec.Received != 8 || rec.Sent == 0 || rec.Proto != "HTTP/2.0" {
		t.Errorf("record %+v", rec)
	}
	eventually(t, func() bool { return r.proxy.Tunnels().Count() == 0 })
}

// TestWebSocketOverHTTP2Refused: whatever the endpoint says but a 101 with its proof must not look like an open WebSocket.
func TestWebSocketOverHTTP2Refused(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi":                                                                       "502",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n": "502",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n":                                "502",
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n":                                                                  "403",
	} {
		app := raw(t, func(c net.Conn) {
			if head, _ := readHead(c); !strings.Contains(head, "\r\nUpgrade: websocket\r\n") {
				t.Errorf("asked %q", head)
			}
			fmt.Fprint(c, answer)
		})
		r := newRig(t, tableOf([]string{app}, with(func(s *policy.Set) { s.Retry.Off = true })))
		if e := r.openExtended(); e.status != want {
			t.Errorf("%q: got %s, want %s", answer, e.status, want)
		}
	}
}

// TestWebSocketOverHTTP2IsCut: a reset ends the endpoint's connection, and one that fails ends the stream.
func TestWebSocketOverHTTP2IsCut(t *testing.T) {
	gone := make(chan error, 1)
	hold := make(chan struct{}, 1)
	app := httptest.NewServer(websocket.Server{Handler: func(c *websocket.Conn) {
		hold <- struct{}{}
		_, err := c.Read(make([]byte, 1))
		gone <- err
	}})
	defer app.Close()
	r := newRig(t, tableOf([]string{app.Listener.Addr().String()}))
	e := r.openExtended()
	<-hold
	e.must(e.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
	if err := <-gone; err == nil {
		t.Error("the endpoint saw no end")
	}
	e = r.openExtended()
	<-hold
	eventually(t, func() bool { return r.proxy.Tunnels().Count() == 1 })
	r.proxy.Tunnels().CloseAll()
	if got, how := e.end(); how != "CANCEL" {
		t.Errorf("got %q, %s", got, how)
	}
	<-gone
}
