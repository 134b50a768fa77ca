package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// TestAnAnswerThatFailsAtOnce: what fails before anything of it has left is answered 502, over HTTP/1.1 and HTTP/2.
func TestAnAnswerThatFailsAtOnce(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name, text string
		reason     policy.Reason
	}{
		{"length short", ok + "Content-Length: 10\r\n\r\nhello", policy.EndpointReset},
		{"length short, without a byte", ok + "Content-Length: 10\r\n\r\n", policy.EndpointReset},
		{"large length short", ok + "Content-Length: 1000000\r\n\r\n", policy.EndpointReset},
		{"first chunk cut", ok + "Transfer-Encoding: chunked\r\n\r\na\r\nhello", policy.EndpointReset},
		{"chunk size cut", ok + "Transfer-Encoding: chunked\r\n\r\na", policy.EndpointReset},
		{"chunk end cut", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello", policy.EndpointReset},
		{"trailer cut", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n", policy.EndpointReset},
		{"bad chunk size", ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello", policy.BadResponse},
		{"bad trailer", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n", policy.BadResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, tableOf([]string{raw(t, answering(c.text, nil))}))
			for n, ask := range []func() (*http.Response, error){
				func() (*http.Response, error) { res, _ := r.get("/"); return res, nil },
				func() (*http.Response, error) { return r.client(true).Get("https://app.test/") },
			} {
				res, err := ask()
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				status(t, res, 502, c.reason)
				if rec := r.record(n + 1); rec.Status != 502 || rec.Reason != c.reason || rec.Error == "" {
					t.Errorf("record %+v", rec)
				}
			}
		})
	}
}

// TestEventsAreNotHeld: a head, and each whole chunk, goes to the client while the endpoint thinks.
func TestEventsAreNotHeld(t *testing.T) {
	next := make(chan struct{})
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for range 2 {
			<-next
			_, _ = io.WriteString(w, "data: x\n\n")
			w.(http.Flusher).Flush()
		}
	})}))
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			next <- struct{}{}
			if _, err := io.ReadFull(res.Body, make([]byte, 9)); err != nil {
				t.Fatal(err)
			}
		}
		res.Body.Close()
	}
}

// framed is an endpoint that speaks HTTP/2 in the clear and answers with field sections as they are, the last with END_STREAM.
func framed(t *testing.T, sections [][]string) string {
	return raw(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(xhttp2.ClientPreface))); err != nil {
			return
		}
		f := xhttp2.NewFramer(c, c)
		f.AllowIllegalWrites = true
		_ = f.WriteSettings()
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch h := frame.(type) {
			case *xhttp2.SettingsFrame:
				if !h.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *xhttp2.HeadersFrame:
				for i, section := range sections {
					block.Reset()
					for j := 0; j < len(section); j += 2 {
						_ = encoder.WriteField(hpack.HeaderField{Name: section[j], Value: section[j+1]})
					}
					_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: i == len(sections)-1})
				}
			}
		}
	})
}

// TestStatusOfEndpoints: the same rule over HTTP/1.1 and HTTP/2.
func TestStatusOfEndpoints(t *testing.T) {
	good := map[string]bool{"200": true, "299": true, "404": true, "599": true}
	for _, s := range []string{"200", "299", "404", "599", "600", "999", "099", "0200", "+200", "20", "2000", "-20", "101", "150", "199", "x", ""} {
		for _, h2 := range []bool{false, true} {
			endpoint := raw(t, answering("HTTP/1.1 "+s+" X\r\nContent-Length: 0\r\n\r\n", nil))
			if h2 {
				endpoint = framed(t, [][]string{{":status", s}})
			}
			r := newRig(t, tableOf([]string{endpoint}, h2c(h2)))
			res, _ := r.get("/")
			code, reason := 502, policy.BadResponse
			if good[s] {
				code, _ = strconv.Atoi(s)
				reason = ""
			}
			if res.StatusCode != code || res.Header.Get("X-Usher-Reason") != string(reason) {
				t.Errorf("status %q, HTTP/2 %v: got %d %q", s, h2, res.StatusCode, res.Header.Get("X-Usher-Reason"))
			}
		}
	}
}

// h2c makes the endpoints ones of HTTP/2.
func h2c(on bool) func(*route.Table, *route.Route) {
	return with(func(s *policy.Set) {
		if on {
			s.Upstream.Protocol = policy.GRPC
		}
	})
}

// TestInterimOverHTTP2: as many as over HTTP/1.1, and never 101.
func TestInterimOverHTTP2(t *testing.T) {
	for _, c := range []struct {
		status string
		count  int
		code   int
	}{
		{"103", http1.MaxInterim, 200}, {"103", http1.MaxInterim + 1, 502}, {"101", 1, 502}, {"150", 1, 502}, {"102", 33, 200},
	} {
		var sections [][]string
		for range c.count {
			sections = append(sections, []string{":status", c.status})
		}
		r := newRig(t, tableOf([]string{framed(t, append(sections, []string{":status", "200"}))}, h2c(true)))
		resp, err := r.client(true).Get("https://app.test/")
		if err != nil {
			t.Fatal(c, err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%d times %s: %d, want %d", c.count, c.status, resp.StatusCode, c.code)
		}
	}
}

// TestLengthsOverHTTP2: unequal ones are refused.
func TestLengthsOverHTTP2(t *testing.T) {
	for fields, code := range map[string]int{"0": 200, "0 0": 200, "0 1": 502, "0,1": 502, "x": 502, "-1": 502} {
		section := []string{":status", "200"}
		for length := range strings.FieldsSeq(fields) {
			section = append(section, "content-length", length)
		}
		r := newRig(t, tableOf([]string{framed(t, [][]string{section})}, h2c(true)))
		if res, _ := r.get("/"); res.StatusCode != code {
			t.Errorf("lengths %s: %d, want %d", fields, res.StatusCode, code)
		}
	}
}

// TestBytesAbove7F: a target with them is taken over both protocols and is percent-encoded on its way.
func TestBytesAbove7F(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	if _, body := r.get("/caf\xc3\xa9?q=\xff\x80%20"); !strings.HasPrefix(body, "GET /caf%C3%A9?q=%FF%80%20 ") {
		t.Errorf("HTTP/1.1: %q", body)
	}
	req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "app.test", Opaque: "/caf\xc3\xa9", RawQuery: "q=\xff\x80%20"}}
	res, err := r.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), "GET /caf%C3%A9?q=%FF%80%20 ") {
		t.Errorf("HTTP/2: %q", body)
	}
}
