package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
)

// reset closes a connection so that the peer sees an error.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// TestFaultsOfEndpoints: what an endpoint may do wrong, what the client sees, and whether another one is asked.
func TestFaultsOfEndpoints(t *testing.T) {
	answer := func(text string, after func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			readHead(c)
			_, _ = io.WriteString(c, text)
			if after != nil {
				after(c)
			}
		}
	}
	stall := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, f := range []struct {
		name    string
		faulty  func(net.Conn) // nil: nobody listens
		code    int            // seen by the client of a GET when no other endpoint is there
		reason  policy.Reason
		retried bool // a GET
		post    bool // a POST is tried again as well
	}{
		{"refused", nil, 502, policy.EndpointRefused, true, true},
		{"reset within the request", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); reset(c) }, 502, policy.EndpointReset, true, false},
		{"closed after the request", answer("", nil), 502, policy.EndpointReset, true, false},
		{"reset after the request", answer("", reset), 502, policy.EndpointReset, true, false},
		{"closed within the head", answer("HTTP/1.1 200 OK\r\nContent-", nil), 502, policy.EndpointReset, true, false},
		{"half-closed without an answer", func(c net.Conn) { readHead(c); _ = c.(*net.TCPConn).CloseWrite(); stall(c) }, 502, policy.EndpointReset, true, false},
		{"stalled", answer("", stall), 504, policy.EndpointTimeout, true, false},
		{"stalled within the head", answer("HTTP/1.1 200 OK\r\nConte", stall), 504, policy.EndpointTimeout, true, false},
		{"not HTTP", answer("SSH-2.0-OpenSSH\r\n", stall), 502, policy.BadResponse, false, false},
		{"two lengths", answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", stall), 502, policy.BadResponse, false, false},
		{"head over the limit", answer("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 100<<10)+"\r\n\r\n", stall), 502, policy.BadResponse, false, false},
		{"unasked 101", answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", stall), 502, policy.BadResponse, false, false},
	} {
		limits := with(func(s *policy.Set) {
			if f.reason == policy.EndpointTimeout {
				s.Timeouts.Read = 100 * time.Millisecond
			}
		})
		faulty := func() string {
			if f.faulty == nil {
				return nowhere(t)
			}
			return raw(t, f.faulty)
		}
		t.Run(f.name, func(t *testing.T) {
			r := newRig(t, tableOf([]string{faulty()}, limits))
			res, _ := r.get("/")
			status(t, res, f.code, f.reason)
			if rec := r.record(1); rec.Error == "" || len(rec.Tries) != 1 || rec.Tries[0].Status != 0 {
				t.Errorf("record %+v", rec)
			}
			if s := r.pool.Snapshot(); len(s) != 1 || s[0].Failures != 1 || s[0].State != "failing" || s[0].InFlight != 0 {
				t.Errorf("pool %+v", s)
			}
		})
		for _, method := range []string{"GET", "POST"} {
			t.Run(f.name+", another is left, "+method, func(t *testing.T) {
				r := newRig(t, tableOf([]string{faulty(), app(t, echo)}, limits))
				body := ""
				if method == "POST" {
					body = "hello"
				}
				res, _ := r.send(fmt.Sprintf("%s / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body))
				if again := f.retried && method == "GET" || f.post; again {
					status(t, res, 200, "")
					if got := r.retries(); len(got) != 1 || got[0] != f.reason {
						t.Errorf("retries %v", got)
					}
					if rec := r.record(1); len(rec.Tries) != 2 || rec.Tries[0].Address == rec.Tries[1].Address {
						t.Errorf("tries %v", rec.Tries)
					}
				} else {
					status(t, res, f.code, f.reason)
				}
			})
		}
	}
}

// TestFaultsAfterTheHead: the status has gone out; all that is left is that the client sees that the answer is not complete.
func TestFaultsAfterTheHead(t *testing.T) {
	for _, f := range []struct {
		name, text string
		after      func(net.Conn)
		reason     policy.Reason
	}{
		{"closed within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), func(c net.Conn) { _ = c.Close() }, policy.EndpointReset},
		{"reset within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), reset, policy.EndpointReset},
		{"stalled within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, policy.EndpointTimeout},
		{"closed between chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", func(c net.Conn) { _ = c.Close() }, policy.EndpointReset},
		{"bad chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, policy.BadResponse},
	} {
		t.Run(f.name, func(t *testing.T) {
			upstream := raw(t, func(c net.Conn) {
				readHead(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+f.text)
				f.after(c)
			})
			r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) {
				if f.reason == policy.EndpointTimeout {
					s.Timeouts.Read = 100 * time.Millisecond
				}
			})))
			conn, err := net.Dial("tcp", r.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
			got, _ := io.ReadAll(conn)
			if strings.Contains(string(got), "\r\n0\r\n\r\n") || len(got) > 60000 {
				t.Errorf("the answer looks complete: %d bytes, %.200q", len(got), got)
			}
			rec := r.record(1)
			if rec.Status != 200 || rec.Reason != f.reason || rec.Error == "" {
				t.Errorf("record %+v", rec)
			}
			if s := r.pool.Snapshot(); s[0].Failures != 1 || s[0].InFlight != 0 {
				t.Errorf("pool %+v", s)
			}
		})
	}
}

func TestTriesAreBounded(t *testing.T) {
	dead := []string{nowhere(t), nowhere(t), nowhere(t), nowhere(t), nowhere(t)}
	for _, c := range []struct {
		name  string
		set   func(*policy.Set)
		tries int
	}{
		{"three by default", func(*policy.Set) {}, 3},
		{"all", func(s *policy.Set) { s.Retry.Tries = 0 }, 5},
		{"more than there are", func(s *policy.Set) { s.Retry.Tries = 50 }, 5},
		{"off", func(s *policy.Set) { s.Retry.Off = true }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, tableOf(dead, with(c.set)))
			res, _ := r.get("/")
			status(t, res, 502, policy.EndpointRefused)
			rec := r.record(1)
			seen := map[string]bool{}
			for _, try := range rec.Tries {
				seen[try.Address] = true
			}
			if len(rec.Tries) != c.tries || len(seen) != c.tries {
				t.Errorf("%d tries of %d endpoints, want %d", len(rec.Tries), len(seen), c.tries)
			}
		})
	}
}

// TestStaleConnection: an endpoint that closes kept connections costs nothing, even when it is the only one.
func TestStaleConnection(t *testing.T) {
	upstream := raw(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		readHead(c)
		reset(c) // the next request on this connection meets a reset
	})
	r := newRig(t, tableOf([]string{upstream}))
	for range 10 {
		if res, _ := r.get("/"); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
}

func TestDeniedAddresses(t *testing.T) {
	r := newRigWith(t, tableOf([]string{app(t, echo)}), poolDefaults())
	res, _ := r.get("/")
	status(t, res, 503, policy.EndpointDenied)
}

// TestEarlyAnswers: an endpoint that refuses a body without reading it is heard.
func TestEarlyAnswers(t *testing.T) {
	upstream := raw(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
	})
	r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) { s.Body.MaxSize = 0 })))
	const size = 4 << 20
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n", size)
		_, _ = io.CopyN(conn, zeros{}, size)
	}()
	res, body := readResponse(t, bufio.NewReader(conn), false)
	if res.StatusCode != 403 || body != "no" {
		t.Errorf("%s %q", res.Status, body)
	}
}

// TestEndpointThatDoesNotRead: the send timeout.
func TestEndpointThatDoesNotRead(t *testing.T) {
	hold := make(chan struct{})
	upstream := raw(t, func(c net.Conn) { <-hold })
	defer close(hold)
	r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) {
		s.Body.MaxSize = 0
		s.Timeouts = policy.Timeouts{Connect: time.Second, Send: 200 * time.Millisecond, Read: 500 * time.Millisecond}
	})))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n", 64<<20)
		_, _ = io.CopyN(conn, zeros{}, 64<<20)
	}()
	res, _ := readResponse(t, bufio.NewReader(conn), false)
	status(t, res, 504, policy.EndpointTimeout)
}
