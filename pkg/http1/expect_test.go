package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unread is a body that notes whether it was read.
type unread struct {
	io.Reader
	read, closed bool
}

func (b *unread) Read(p []byte) (int, error) { b.read = true; return b.Reader.Read(p) }
func (b *unread) Close() error               { b.closed = true; return nil }

// Expect: 100-continue towards the upstream, when the caller wants it.
func TestExpectContinueUpstream(t *testing.T) {
	for _, c := range []struct {
		name, first string
		wait        time.Duration
		read        bool
		want        string
	}{
		{"continue", "HTTP/1.1 100 Continue\r\n\r\n", time.Hour, true, `200 "hello"`},
		{"refused", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", time.Hour, false, `403 ""`},
		{"silent", "", 10 * time.Millisecond, true, `200 "hello"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := upstream(t, func(up *client) {
				r := up.request()
				if r.Header.Get("Expect") != "100-continue" {
					t.Error("Expect was not sent")
				}
				up.say(c.first)
				if c.read {
					body, _ := io.ReadAll(r.Body)
					up.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + string(body))
				}
				up.request()
			})
			b := &unread{Reader: strings.NewReader("hello")}
			r := newRequest()
			r.Header.Set("Expect", "100-Continue")
			r.Method, r.ContentLength, r.Body = "POST", 5, b
			res, err := tr.RoundTripWith(r, &Call{Timeouts: Timeouts{Continue: c.wait}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if got := describe(res); got != c.want || b.read != c.read || !b.closed {
				t.Errorf("%s, body read %t, closed %t", got, b.read, b.closed)
			}
			if kept := tr.Stats().Idle == 1; kept != c.read {
				t.Errorf("the connection was kept: %t", kept)
			}
		})
	}
}

// A client that does not wait for 100 Continue is not made to.
func TestExpectedBodyThatComesAnyway(t *testing.T) {
	for name, pause := range map[string]bool{"with the head": false, "after the head": true} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			tr := upstream(t, func(up *client) {
				r := up.request()
				if expects := r.Header.Get("Expect") != ""; expects != pause {
					t.Errorf("Expect was sent: %t", expects)
				}
				asked <- struct{}{}
				body, _ := io.ReadAll(r.Body)
				up.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + string(body))
			})
			front := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				res, err := tr.RoundTripWith(r, &Call{Timeouts: Timeouts{Continue: time.Hour}})
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = res.Body.Close() }()
				_, _ = io.Copy(w, res.Body)
			})})
			head, body := "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "hello"
			conn := connect(t, front)
			if pause {
				conn.say(head)
				<-asked
				conn.say(body)
			} else {
				conn.say(head + body)
			}
			if got := conn.hear("POST"); got != `100 ""` {
				t.Error(got)
			}
			if got := conn.hear("POST"); got != `200 "hello"` {
				t.Error(got)
			}
		})
	}
}

func TestInterimOfACall(t *testing.T) {
	tr := upstream(t, func(up *client) {
		for up.request() != nil {
			up.say("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + okResponse)
		}
	})
	var seen string
	call := &Call{Interim: func(status int, h http.Header) error { seen += http.StatusText(status) + h.Get("Link"); return nil }}
	res, err := tr.RoundTripWith(newRequest(), call)
	if err != nil || seen != "Early Hintsa" {
		t.Fatal(seen, err)
	}
	_ = res.Body.Close()
	enough := errors.New("enough")
	call.Interim = func(int, http.Header) error { return enough }
	if e := roundTripError(t, tr, newRequest(), call); !errors.Is(e, enough) {
		t.Error(e)
	}
}

// A body that was not read can be sent to another endpoint although RoundTrip
// closed it.
func TestUnreadBodyGoesElsewhere(t *testing.T) {
	dead := &Transport{Dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }}
	alive := &Transport{Dial: dialTo(serve(t, &Server{Handler: http.HandlerFunc(echo)}))}
	front := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := roundTripError(t, dead, r, nil); e.Sent {
			t.Error(e)
		}
		forward(alive, &log{}).ServeHTTP(w, r)
	})})
	for _, framing := range []string{"Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"} {
		if got := connect(t, front).say("POST / HTTP/1.1\r\nHost: x\r\n" + framing).hear("POST"); got != `200 "POST /|x|hello"` {
			t.Error(got)
		}
	}
}

// An endpoint that closes after each response without saying so costs one
// failed request, after which kept connections are looked at.
func TestSuspicion(t *testing.T) {
	tr := upstream(t, func(up *client) { up.request(); up.say(okResponse) })
	tr.trust = int64(time.Minute)
	failed := 0
	for range 20 {
		if got := get(t, tr); got != `200 "hi"` {
			failed++
		}
		time.Sleep(time.Millisecond) // the end arrives
	}
	if failed > 1 {
		t.Errorf("%d requests failed", failed)
	}
}

// A body that must not be there, sent after its head, is not the next answer.
func TestUninvitedBody(t *testing.T) {
	said := make(chan struct{})
	tr := upstream(t, func(up *client) {
		r := up.request()
		for ; r != nil && r.Method != http.MethodHead; r = up.request() {
			up.say(okResponse)
		}
		if r == nil {
			return
		}
		up.say("HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n")
		said <- struct{}{}
		up.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		said <- struct{}{}
		up.request()
	})
	tr.trust = int64(time.Minute)
	for range 20 {
		r := newRequest()
		r.Method = http.MethodHead
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		<-said
		_ = res.Body.Close()
		<-said
		if got := get(t, tr); got != `200 "hi"` {
			t.Fatal(got)
		}
	}
}

// What an endpoint says beyond the length of a body that it sent by itself is not the next answer, and the endpoint is not believed so
// easily for a while.
func TestBodyBeyondItsLength(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, more := range map[string]string{"with the head": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + evil, "behind a large body": ""} {
		tr := upstream(t, func(up *client) {
			for up.request() != nil {
				if more != "" {
					up.say(more)
					continue
				}
				up.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000) + evil)
			}
		})
		tr.trust = int64(time.Minute)
		for range 20 {
			if got := get(t, tr); !strings.HasPrefix(got, `200 "`) || strings.Contains(got, "evil") {
				t.Fatalf("%s: %.80s", name, got)
			}
		}
		if s := tr.Stats(); s.Reused != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if tr.suspect.Load() == 0 {
			t.Errorf("%s: the endpoint is trusted", name)
		}
	}
}

// A client that leaves is noticed behind TLS too, whether it says goodbye or
// not.
func TestClientGoneUnderTLS(t *testing.T) {
	gone := make(chan error, 1)
	begun := make(chan struct{}, 1)
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	addr := serveMaybeTLS(t, &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		select {
		case <-r.Context().Done():
			gone <- r.Context().Err()
		case <-time.After(patience):
			gone <- errors.New("not noticed")
		}
	})}, true, config)
	for _, leave := range []func(*tls.Conn) error{(*tls.Conn).Close, func(c *tls.Conn) error { return c.NetConn().Close() }} {
		c, err := dialMaybeTLS(addr, true)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, get11)
		<-begun
		_ = leave(c.(*tls.Conn))
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// addressed is a connection with another peer address, as PROXY protocol
// makes them.
type addressed struct{ net.Conn }

func (a addressed) TCPConn() *net.TCPConn { return a.Conn.(*net.TCPConn) }
func (addressed) RemoteAddr() net.Addr    { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7} }

func TestWrappedConnection(t *testing.T) {
	near, far := pair(t)
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })}
	t.Cleanup(func() { _ = s.Close() })
	go s.ServeConn(addressed{near})
	if got := (&client{t, far, newReader(far)}).say(get11).hear("GET"); got != `200 "192.0.2.1:7"` {
		t.Error(got)
	}
}
