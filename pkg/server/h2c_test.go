package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// h2cClient speaks HTTP/2 in the clear from the first byte.
func h2cClient(t *testing.T) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestHTTP2InTheClear(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Cleartext2 = true })
	one, two := client(t), h2cClient(t)
	for range 2 {
		if _, body := get(t, two, "http://"+s.http); !strings.HasPrefix(body, "HTTP/2.0 tls=none") {
			t.Errorf("HTTP/2: got %q", body)
		}
		if _, body := get(t, one, "http://"+s.http); !strings.HasPrefix(body, "HTTP/1.1 tls=none") {
			t.Errorf("HTTP/1.1: got %q", body)
		}
	}
	states := map[string]int64{}
	for end := time.Now().Add(10 * time.Second); states["http idle"] != 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.Connections(func(listener, state string, n int64) { states[listener+" "+state] = n }) // an answer may be here before its stream is over
	}
	if states["http idle"] != 2 || states["http upgraded"] != 0 || states["https idle"] != 0 {
		t.Errorf("connections %v", states)
	}
	drained := s.drain(time.Minute)
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// The preface in pieces is one all the same; what only begins like it is a request of HTTP/1.1.
func TestHTTP2InTheClearByPieces(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Cleartext2 = true })
	conn, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, piece := range []string{"PRI * HTTP/2.", "0\r\n\r\nS", "M\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"} {
		fmt.Fprint(conn, piece)
		time.Sleep(time.Millisecond) // so that they are read apart; either way the outcome is the same
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Errorf("got %q, %v instead of SETTINGS", head, err)
	}
	second, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	fmt.Fprint(second, "PRI * HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
	if got, _ := io.ReadAll(second); !strings.HasPrefix(string(got), "HTTP/1.1 501 ") && !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
		t.Errorf("got %q", got)
	}
}

// Without the option, and as a later request, it is a version that is not spoken here.
func TestHTTP2InTheClearIsAnOption(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for _, offered := range []bool{false, true} {
		s := start(t, tell, func(o *Options) { o.Cleartext2 = offered })
		conn, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if offered {
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
		}
		fmt.Fprint(conn, preface)
		if got, _ := io.ReadAll(conn); !strings.Contains(string(got), "HTTP/1.1 505 ") {
			t.Errorf("offered %v: got %q", offered, got)
		}
	}
}
