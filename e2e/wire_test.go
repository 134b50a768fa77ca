//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// speaker makes a Service with one endpoint, which is given each connection.
func (s *scene) speaker(name string, speak func(net.Conn)) {
	s.t.Helper()
	host := address()
	listener, err := net.Listen("tcp", host+":8080")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				speak(conn)
			}()
		}
	}()
	s.service(name)
	s.slice(name, fmt.Sprintf(`{addresses: [%s], conditions: {ready: true}}`, host))
}

// says answers a request with a text as it stands, and closes.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// frames answers every request over HTTP/2 with field sections as they are; the last ends the stream.
func frames(sections ...[]string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, len(xhttp2.ClientPreface))); err != nil {
			return
		}
		framer := xhttp2.NewFramer(conn, conn)
		framer.AllowIllegalWrites = true
		_ = framer.WriteSettings()
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if settings, ok := frame.(*xhttp2.SettingsFrame); ok && !settings.IsAck() {
				_ = framer.WriteSettingsAck()
			}
			headers, ok := frame.(*xhttp2.HeadersFrame)
			for n, section := range sections {
				if !ok {
					break
				}
				block.Reset()
				for i := 0; i < len(section); i += 2 {
					_ = encoder.WriteField(hpack.HeaderField{Name: section[i], Value: section[i+1]})
				}
				_ = framer.WriteHeaders(xhttp2.HeadersFrameParam{
					StreamID: headers.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: n == len(sections)-1,
				})
			}
		}
	}
}

// several is one section so many times, and then the final one.
func several(n int, status string) (list [][]string) {
	for range n {
		list = append(list, []string{":status", status})
	}
	return append(list, []string{":status", "200"})
}

const (
	okHead     = "HTTP/1.1 200 OK\r\n"
	mostFields = 128 // of a request
)

// spoken are answers of endpoints, and what the client gets.
var spoken = []struct {
	name, text, want string
	sections         [][]string
}{
	{name: "length-short", text: okHead + "Content-Length: 10\r\n\r\nhello", want: "502 endpoint-reset"},
	{name: "length-empty", text: okHead + "Content-Length: 10\r\n\r\n", want: "502 endpoint-reset"},
	{name: "chunk-cut", text: okHead + "Transfer-Encoding: chunked\r\n\r\na\r\nhello", want: "502 endpoint-reset"},
	{name: "trailer-cut", text: okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n", want: "502 endpoint-reset"},
	{name: "trailer-bad", text: okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n", want: "502 bad-response"},
	{name: "size-bad", text: okHead + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello", want: "502 bad-response"},
	{name: "size-space", text: okHead + "Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n", want: "200 "},
	{name: "status-low", text: "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", want: "502 bad-response"},
	{name: "status-high", text: "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", want: "502 bad-response"},
	{name: "switching", text: "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", want: "502 bad-response"},
	{name: "interim-most", text: strings.Repeat("HTTP/1.1 103 X\r\n\r\n", 64) + okHead + "Content-Length: 0\r\n\r\n", want: "200 "},
	{name: "interim-more", text: strings.Repeat("HTTP/1.1 103 X\r\n\r\n", 65) + okHead + "Content-Length: 0\r\n\r\n", want: "502 bad-response"},
	{name: "h2-status-high", sections: [][]string{{":status", "600"}}, want: "502 bad-response"},
	{name: "h2-status-low", sections: [][]string{{":status", "20"}}, want: "502 bad-response"},
	{name: "h2-status-text", sections: [][]string{{":status", "x"}}, want: "502 bad-response"},
	{name: "h2-status-none", sections: [][]string{{"a", "b"}}, want: "502 bad-response"},
	{name: "h2-switching", sections: [][]string{{":status", "101"}}, want: "502 bad-response"},
	{name: "h2-switching-first", sections: several(1, "101"), want: "502 bad-response"},
	{name: "h2-interim", sections: several(33, "103"), want: "200 "},
	{name: "h2-interim-most", sections: several(64, "103"), want: "200 "},
	{name: "h2-interim-more", sections: several(65, "103"), want: "502 bad-response"},
	{name: "h2-lengths", sections: [][]string{{":status", "200", "content-length", "0", "content-length", "1"}}, want: "502 bad-response"},
}

// TestAnswersOfEndpoints: an answer that is none, or breaks off before anything of it was sent, is 502 with its reason on the page and
// in the access log, over HTTP/1.1 and HTTP/2 on either side. Nothing but JSON is printed: no library writes past Usher's log.
func TestAnswersOfEndpoints(t *testing.T) {
	s := folderScene(t)
	for _, c := range spoken {
		protocol := "HTTP"
		speak := says(c.text)
		if c.sections != nil {
			protocol, speak = "GRPC", frames(c.sections...)
		}
		s.speaker(c.name, speak)
		s.ingress(c.name, fmt.Sprintf(`rules: [{host: %[1]s.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]`, c.name),
			"nginx.ingress.kubernetes.io/backend-protocol: "+protocol)
	}
	u := s.usher()
	for _, c := range spoken {
		for _, scheme := range []string{"http", "https"} {
			path := "/" + scheme + "-" + c.name
			a, err := u.get(scheme + "://" + c.name + ".example" + path)
			if err != nil {
				t.Errorf("%s over %s: %v", c.name, scheme, err)
				continue
			}
			status, reason, _ := strings.Cut(c.want, " ")
			if a.String() != c.want || reason != "" && !strings.Contains(a.body, reason) {
				t.Errorf("%s over %s: %s, want %s; page %q", c.name, a.Proto, a, c.want, a.body)
			}
			logged := fmt.Sprintf(`"status":%s,"reason":%q`, status, reason)
			if reason == "" {
				logged = `"status":200,"duration"`
			}
			await(t, func() error {
				for line := range strings.Lines(u.process.Log()) {
					if strings.Contains(line, `"uri":"`+path+`"`) && strings.Contains(line, logged) {
						return nil
					}
				}
				return fmt.Errorf("no line of the access log for %s has %s", path, logged)
			})
		}
	}
	u.printsOnlyJSON()
}

// printsOnlyJSON fails the test for a line that is no record of Usher's.
func (u *usher) printsOnlyJSON() {
	u.t.Helper()
	for line := range strings.Lines(u.process.Log()) {
		if !strings.HasPrefix(line, "{") {
			u.t.Errorf("printed past the log: %s", line)
		}
	}
}

// TestMisbehavedClients: whatever clients send, no library writes about it.
func TestMisbehavedClients(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	s.route("web", "web.example", "/", "web")
	u := s.usher()
	u.expect("https://web.example/", "web")
	for _, port := range []string{"80", "443"} {
		for _, text := range []string{
			"", "\x00", "GET / HTTP/1.1\r\n", "GET / HTTP/9.9\r\nHost: web.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 64),
			"\x16\x03\x01\x00\x05hello", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 100), "\x15\x03\x01\x00\x02\x02\x28",
			"POST / HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 10\r\n\r\nhi",
		} {
			conn, err := net.Dial("tcp", u.address+":"+port)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}
	u.expect("https://web.example/", "web")
	u.printsOnlyJSON()
}

// TestTargetsAndFields: bytes above 0x7F of a target, cookies of HTTP/2 and the number of fields are held to one rule over both protocols.
func TestTargetsAndFields(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	s.route("web", "web.example", "/", "web")
	u := s.usher()
	u.expect("https://web.example/", "web")
	for _, scheme := range []string{"http", "https"} {
		ask := func(target string, header http.Header) *answer {
			path, query, _ := strings.Cut(target, "?")
			r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: scheme, Host: "web.example", Opaque: path, RawQuery: query}, Header: header}
			response, err := u.client.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", target, err)
			}
			a, err := readAnswer(response)
			if err != nil {
				t.Fatalf("%s: %v", target, err)
			}
			return a
		}
		a := ask("/caf\xc3\xa9?q=\xff\x80%20", nil)
		if a.echo.Path != "/caf%C3%A9?q=%FF%80%20" {
			t.Errorf("over %s: the target arrived as %q (%s)", a.Proto, a.echo.Path, a)
		}
		cookies := strings.Repeat("a=b; ", 400) + "c=d"
		if a = ask("/", http.Header{"Cookie": {cookies}}); a.echo.Header.Get("Cookie") != cookies || len(a.echo.Header["Cookie"]) != 1 {
			t.Errorf("over %s: 401 cookies are answered by %s and arrived in %d fields", a.Proto, a, len(a.echo.Header["Cookie"]))
		}
		// Host, User-Agent and Accept-Encoding are the client's own.
		for extra, want := range map[int]string{mostFields - 3: "web", mostFields - 2: "431 bad-request"} {
			header := http.Header{}
			for n := range extra {
				header.Set(fmt.Sprintf("X-%d", n), "v")
			}
			if a = ask("/", header); a.String() != want {
				t.Errorf("over %s: %d fields are answered by %q, want %q", a.Proto, extra+3, a, want)
			}
		}
	}
}

// TestOneReplicaIsTriedAgain: proxy-next-upstream asks the only endpoint again, but never with a request that may not be repeated.
func TestOneReplicaIsTriedAgain(t *testing.T) {
	s := folderScene(t)
	var asked atomic.Int64
	s.speaker("only", func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		status := "503 Service Unavailable"
		if asked.Add(1)%3 == 0 {
			status = "200 OK"
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	s.ingress("only", `rules: [{host: only.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: only, port: {number: 80}}}}]}}]`,
		`nginx.ingress.kubernetes.io/proxy-next-upstream: "http_503"`, `nginx.ingress.kubernetes.io/proxy-next-upstream-tries: "3"`, `usher.dev/eject-after-failures: "0"`)
	u := s.usher()
	if a, err := u.get("http://only.example/"); err != nil || a.StatusCode != http.StatusOK || asked.Load() != 3 {
		t.Errorf("503, 503, 200 is answered by %v, %v after %d tries, want 200 after 3", a, err, asked.Load())
	}
	response, err := u.client.Post("http://only.example/", "text/plain", strings.NewReader("order"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || asked.Load() != 4 {
		t.Errorf("a POST is answered by %d after %d tries, want 503 after 1", response.StatusCode, asked.Load()-3)
	}
}
