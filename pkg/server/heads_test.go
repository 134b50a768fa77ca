package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestHeadsShareABudget: what heads that are still arriving hold is bounded for all connections together, of either protocol. One that
// needs more gets 431 while it is used up; small heads, and large ones once there is room again, are served.
func TestHeadsShareABudget(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Limits.HeadsBytes = 40 << 10 })
	begun := "GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Long: " + strings.Repeat("a", 15<<10)
	var slow []net.Conn
	for range 5 { // each has a buffer of 16 KiB, 8 of which count
		conn, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, begun)
		slow = append(slow, conn)
	}
	large := begun + strings.Repeat("b", 5<<10) + "\r\n\r\n"
	eventually(t, func() bool { return s.heads.Left() == 0 })
	if status := answerTo(t, s.http, large); status != 431 {
		t.Errorf("HTTP/1.1, a large head while the budget is used up: %d, want 431", status)
	}
	if status := answerTo(t, s.http, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n"); status != 200 {
		t.Errorf("a small head: %d, want 200", status)
	}
	c := dialHTTP2(t, s.https)
	sendInTwo(t, c, strings.Repeat("c", 20<<10))
	if status, _ := c.response(1); status != "431" {
		t.Errorf("HTTP/2, a large section while the budget is used up: %s, want 431", status)
	}
	for _, conn := range slow {
		conn.Close()
	}
	eventually(t, func() bool { return s.heads.Left() == 40<<10 })
	if status := answerTo(t, s.http, large); status != 200 {
		t.Errorf("a large head when there is room again: %d, want 200", status)
	}
	c = dialHTTP2(t, s.https)
	sendInTwo(t, c, strings.Repeat("c", 20<<10))
	if status, _ := c.response(1); status != "200" {
		t.Errorf("HTTP/2, when there is room again: %s, want 200", status)
	}
}

// answerTo is the status of what comes for raw bytes.
func answerTo(t *testing.T, address, raw string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, raw) }()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// sendInTwo sends a request whose field section ends in a CONTINUATION frame, after a field with the value is whole.
func sendInTwo(t *testing.T, c *rawHTTP2, value string) {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	write := func(name, value string) {
		if err := encoder.WriteField(hpack.HeaderField{Name: name, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a.example.com"}, {"x-long", value}} {
		write(f[0], f[1])
	}
	first := bytes.Clone(block.Bytes())
	block.Reset()
	write("x-last", "1")
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first[:min(len(first), 16000)], EndStream: true}); err != nil {
		t.Fatal(err)
	}
	if rest := first[min(len(first), 16000):]; len(rest) > 0 {
		if err := c.framer.WriteContinuation(1, false, rest); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.framer.WriteContinuation(1, true, block.Bytes()); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not come to that")
		}
	}
}
