//go:build linux

package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// TestUnread: what is known about a request that got no answer. It is written to a kept connection on which the endpoint does
// something before, unseen, or after it has read the request.
func TestUnread(t *testing.T) {
	short := func() *http.Request { return postOf("hello") }
	long := func() *http.Request { return postOf(strings.Repeat("x", 40<<10)) }
	endless := func() *http.Request { r := postOf(""); r.Body, r.ContentLength = io.NopCloser(zeros{}), -1; return r }
	for _, c := range []struct {
		name    string
		request func() *http.Request
		unseen  func(net.Conn)
		answer  func(*client)
		unread  bool
	}{
		{"closed before", short, closeIt, nil, true},
		{"closed before, long body", long, closeIt, nil, true},
		{"reset before", short, resetIt, nil, true},
		{"closed when it was read", short, nil, (*client).readRequest, false},
		{"closed when it was read, long body", long, nil, (*client).readRequest, false},
		{"closed when some of it was read", endless, nil, func(up *client) { up.request() }, false},
		{"reset when it was read", short, nil, func(up *client) { up.readRequest(); resetIt(up.Conn) }, false},
		{"reset when it was read, long body", long, nil, func(up *client) { up.readRequest(); resetIt(up.Conn) }, false},
		{"reset for bytes not read", short, nil, func(up *client) { eventually(t, "it arrives", func() bool { return arrived(up.Conn) }) }, false},
		{"half-closed, then read", short, nil, func(up *client) { _ = up.Conn.(*net.TCPConn).CloseWrite(); up.readRequest(); up.readRequest() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ready, conns := make(chan struct{}), make(chan net.Conn, 1)
			tr := upstream(t, func(up *client) {
				up.request()
				up.say(okResponse)
				<-ready
				if c.unseen != nil {
					c.unseen(up.Conn)
				}
				conns <- up.Conn
				if c.answer != nil {
					c.answer(up)
				}
			})
			if got := get(t, tr); got != `200 "hi"` {
				t.Fatal(got)
			}
			conn, _ := tr.pop()
			close(ready)
			<-conns
			if c.unseen != nil {
				eventually(t, "the end arrives", func() bool { return conn.wire.state() == sock.Gone })
			}
			e := roundTripOn(t, tr, conn, c.request())
			if e.Unread != c.unread || e.Received || !e.Reused {
				t.Errorf("%+v, %v", e, e)
			}
		})
	}
}

// TestUnreadAfterHalfClose: an endpoint that has ended its own side alone goes on reading, so that nothing is known, whenever the kernel
// acknowledges what came.
func TestUnreadAfterHalfClose(t *testing.T) {
	kept := make(chan struct{})
	tr := upstream(t, func(up *client) {
		up.request()
		up.say(okResponse)
		<-kept
		_ = up.Conn.(*net.TCPConn).CloseWrite()
		up.readRequest()
		up.request()
	})
	if got := get(t, tr); got != `200 "hi"` {
		t.Fatal(got)
	}
	conn, _ := tr.pop()
	close(kept)
	eventually(t, "the end arrives", func() bool { return conn.wire.state() == sock.Gone })
	if e := roundTripOn(t, tr, conn, postOf("hello")); e.Unread || e.Received || !e.Reused {
		t.Errorf("%+v, %v", e, e)
	}
}

// TestUnreadNeedsAnEnd: silence proves nothing, whatever was acknowledged.
func TestUnreadNeedsAnEnd(t *testing.T) {
	tr := upstream(t, func(up *client) { up.request(); up.request() })
	if e := roundTripError(t, tr, postOf("hello"), &Call{Timeouts: Timeouts{FirstByte: 10 * time.Millisecond}}); e.Unread || !e.Timeout() {
		t.Errorf("%+v", e)
	}
}

func postOf(body string) *http.Request {
	r := newRequest()
	r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(body)), int64(len(body))
	return r
}

func closeIt(c net.Conn) { _ = c.Close() }

func resetIt(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }

// readRequest reads a request to its end.
func (c *client) readRequest() {
	if r := c.request(); r != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// arrived reports whether c has something to read.
func arrived(c net.Conn) bool {
	var w wire
	w.open(c)
	return w.state() == sock.Ready
}

// roundTripOn makes a request on a certain connection, in whatever state that is.
func roundTripOn(t *testing.T, tr *Transport, conn *upstreamConn, r *http.Request) *Error {
	t.Helper()
	x := takeClientExchange(tr, r, nil)
	if err := errors.Join(x.checkRequest(), x.renderRequest()); err != nil {
		t.Fatal(err)
	}
	_, err := x.roundTrip(conn)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T %v", err, err)
	}
	return e
}
