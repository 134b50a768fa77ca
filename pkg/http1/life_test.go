package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Clients that abuse a time limit, and what they get.
func TestSlowClients(t *testing.T) {
	const short = 60 * time.Millisecond
	for _, c := range []struct {
		name, bytes string
		timeouts    ServerTimeouts
		want        string
	}{
		{"says nothing", "", ServerTimeouts{FirstByte: short}, "no response: closed"},
		{"stops in the head", "GET / HTTP/1.1\r\nHo", ServerTimeouts{Head: short}, `408 X-Reason=head-timeout close ""`},
		{"stops in the request line", "G", ServerTimeouts{Head: short}, `408 X-Reason=head-timeout close ""`},
		{"stops after an empty line", "\r\n", ServerTimeouts{Head: short}, "no response: closed"},
		{"stops in the body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel", ServerTimeouts{BodyIdle: short}, `408 X-Reason=body-timeout close ""`},
		{"stops in a chunk size", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5", ServerTimeouts{BodyIdle: short}, `408 X-Reason=body-timeout close ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, &Server{Handler: http.HandlerFunc(echo), Timeouts: c.timeouts, ErrorHandler: reasons})
			begun := time.Now() // not later than the server's clock
			conn := connect(t, addr)
			conn.say(c.bytes)
			if got := conn.hear("GET"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if took := time.Since(begun); took < short || took > patience/2 {
				t.Errorf("after %v", took)
			}
		})
	}
}

// A head that comes byte by byte does not extend its limit.
func TestDrippingHead(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo), Timeouts: ServerTimeouts{Head: 100 * time.Millisecond}})
	conn := connect(t, addr)
	begun := time.Now()
	go func() {
		for {
			if _, err := io.WriteString(conn.Conn, "a"); err != nil || time.Since(begun) > patience/2 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if got := conn.hear("GET"); got != `408 close ""` || time.Since(begun) > patience/2 {
		t.Error(got, time.Since(begun))
	}
}

// A body that keeps coming does not hit the idle limit, however long it takes,
// also when an earlier, longer deadline is still set on the socket.
func TestSlowButSteadyBody(t *testing.T) {
	t.Parallel()
	// A machine that stands still for more than a second fails this.
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo), Timeouts: ServerTimeouts{BodyIdle: 1500 * time.Millisecond, KeepAlive: 1600 * time.Millisecond}})
	conn := connect(t, addr)
	for range 2 {
		conn.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
		for range 10 {
			time.Sleep(200 * time.Millisecond)
			conn.say("x")
		}
		if got := conn.hear("POST"); got != `200 "POST /|x|xxxxxxxxxx"` {
			t.Fatal(got)
		}
	}
	begun := time.Now()
	if rest := conn.rest(); rest != "" || time.Since(begun) > patience/2 {
		t.Errorf("keep-alive limit: %q after %v", rest, time.Since(begun))
	}
}

// A client that does not read is cut off, and holds its handler no longer.
func TestClientThatDoesNotRead(t *testing.T) {
	done := make(chan error, 1)
	addr := serve(t, &Server{Timeouts: ServerTimeouts{WriteIdle: 50 * time.Millisecond}, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		done <- err
	})})
	connect(t, addr).say(get11)
	if err := <-done; !isTimeout(err) {
		t.Error(err)
	}
}

// The same when the kernel carries the body.
func TestClientThatDoesNotReadASplicedBody(t *testing.T) {
	tr := upstream(t, func(up *client) {
		up.request()
		_, _ = io.WriteString(up.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for {
			if _, err := up.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	seen := &log{}
	addr := serve(t, &Server{Timeouts: ServerTimeouts{WriteIdle: 50 * time.Millisecond}, Handler: forward(tr, seen)})
	connect(t, addr).say(get11)
	eventually(t, "the write times out", func() bool { return strings.Contains(seen.String(), "timeout") })
	eventually(t, "the upstream is let go", func() bool { return tr.Stats().Open == 0 })
}

// A client that reads slowly, but does, gets everything, although that takes longer than the limit.
func TestClientThatReadsSlowly(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	tr := upstream(t, func(up *client) {
		up.request()
		_, _ = io.WriteString(up.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"+strings.Repeat("x", size))
	})
	addr := serve(t, &Server{Timeouts: ServerTimeouts{WriteIdle: 1500 * time.Millisecond}, Handler: forward(tr, &log{})})
	conn := connect(t, addr)
	_ = conn.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	conn.say(get11)
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for buf := make([]byte, 16<<10); ; time.Sleep(40 * time.Millisecond) {
		n, err := res.Body.Read(buf)
		total += n
		if err != nil {
			break
		}
	}
	if total != size {
		t.Errorf("%d bytes of %d", total, size)
	}
}

// The context of a request ends when its client leaves, if it takes a while.
func TestClientGone(t *testing.T) {
	gone := make(chan error, 1)
	begun := make(chan struct{}, 1)
	s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- struct{}{}
		select {
		case <-r.Context().Done():
			gone <- r.Context().Err()
		case <-time.After(patience):
			gone <- errors.New("not noticed")
		}
	})}
	plain := serve(t, s)
	for _, request := range []string{get11, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"} {
		conn := connect(t, plain)
		conn.say(request)
		<-begun
		_ = conn.Close()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// It is noticed through the transport, which interrupts the upstream.
func TestClientGoneInterruptsTheUpstream(t *testing.T) {
	begun := make(chan struct{}, 1)
	ended := make(chan struct{}, 1)
	tr := upstream(t, func(up *client) {
		up.request()
		begun <- struct{}{}
		up.request()
		ended <- struct{}{}
	})
	front, seen := proxyTo(t, tr)
	conn := connect(t, front)
	conn.say(get11)
	<-begun
	_ = conn.Close()
	<-ended
	eventually(t, "canceled", func() bool { return seen.String() == "canceled" })
}

// A slow request does not lose the bytes of the next, pipelined one.
func TestSlowRequestThenPipelined(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(3 * watchPeriod)
		}
		echo(w, r)
	})})
	conn := connect(t, addr)
	for range 2 {
		conn.say("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(2 * watchPeriod)
		conn.say("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := conn.hear("GET") + conn.hear("GET"); got != `200 "GET /slow|x|"200 "GET /next|x|"` {
			t.Error(got)
		}
	}
}

// The context ends with the handler for those who kept it, and the next
// request has a fresh one.
func TestContextOfARequest(t *testing.T) {
	kept := make(chan context.Context, 2)
	addr := serve(t, &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		_ = cancel // the parent's end must be enough
		if ctx.Err() != nil {
			t.Error("ended at the start")
		}
		kept <- ctx
	})})
	conn := connect(t, addr)
	for range 2 {
		conn.say(get11).hear("GET")
		ctx := <-kept
		select {
		case <-ctx.Done():
		case <-time.After(patience):
			t.Fatal("not ended")
		}
	}
}

// Between requests connections stay, whoever asks is answered, and each answer is the connection's last.
func TestFarewell(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(echo)}
	addr := serve(t, s)
	kept, idle := connect(t, addr), connect(t, addr)
	kept.say(get11).hear("GET")
	idle.say(get11).hear("GET")
	eventually(t, "both idle", func() bool { return s.Stats().Idle == 2 })
	s.Farewell()
	late := connect(t, addr)
	for name, c := range map[string]*client{"kept": kept, "new": late} {
		if got := c.say(get11).hear("GET"); got != `200 close "GET /|x|"` {
			t.Errorf("%s: %s", name, got)
		}
		if rest := c.rest(); rest != "" {
			t.Errorf("%s: after its last answer: %q", name, rest)
		}
	}
	eventually(t, "one is left, idle", func() bool { return s.Stats().Open == 1 && s.Stats().Idle == 1 })
}

func TestShutdown(t *testing.T) {
	release := make(chan struct{})
	begun := make(chan struct{}, 1)
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-release
		}
		echo(w, r)
	})}
	addr := serve(t, s)
	fresh, idle, busy := connect(t, addr), connect(t, addr), connect(t, addr)
	idle.say(get11).hear("GET")
	busy.say("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	eventually(t, "all connected", func() bool { return s.Stats().Open == 3 && s.Stats().Idle == 2 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if rest := fresh.rest() + idle.rest(); rest != "" {
		t.Errorf("idle connections got %q", rest)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("still listening")
	}
	select {
	case err := <-done:
		t.Errorf("did not wait: %v", err)
	default:
	}
	close(release)
	if got := busy.hear("GET"); got != `200 close "GET /slow|x|"` {
		t.Error(got)
	}
	busy.rest()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Serve(listen(t)); !errors.Is(err, ErrServerClosed) {
		t.Error(err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	begun := make(chan struct{})
	ended := make(chan error, 1)
	s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended <- r.Context().Err()
	})}
	conn := connect(t, serve(t, s))
	conn.say(get11)
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	_ = s.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	conn.rest()
}

// Close does not wait for a handler that does not look at its context.
func TestCloseDoesNotWait(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-release
	})}
	conn := connect(t, serve(t, s))
	conn.say(get11)
	<-begun
	_ = s.Close()
	conn.rest()
	close(release)
	eventually(t, "the connection is gone", func() bool { return s.Stats().Open == 0 })
}

// Requests that were on their way when Shutdown began are answered.
func TestShutdownUnderLoad(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(echo)}
	addr := serve(t, s)
	results := make(chan string, 50)
	for range cap(results) {
		conn := connect(t, addr)
		conn.say(get11).hear("GET")
		go func() {
			for {
				if _, err := io.WriteString(conn.Conn, get11); err != nil {
					results <- "closed between requests"
					return
				}
				switch got := conn.hear("GET"); got {
				case `200 "GET /|x|"`:
				case `200 close "GET /|x|"`:
					results <- "closed with notice"
					return
				case "no response: closed", "no response: reset":
					results <- "closed between requests"
					return
				default:
					results <- got
					return
				}
			}
		}()
	}
	time.Sleep(5 * time.Millisecond)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	noticed := 0
	for range cap(results) {
		switch got := <-results; got {
		case "closed with notice":
			noticed++
		case "closed between requests":
		default:
			t.Error(got)
		}
	}
	t.Logf("%d of %d were told", noticed, cap(results))
}

func TestOwnDeadlines(t *testing.T) {
	addr := serve(t, &Server{Timeouts: ServerTimeouts{BodyIdle: time.Hour}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.SetReadDeadline(time.Now().Add(10*time.Millisecond)), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex()); err != nil {
			t.Error(err)
		}
		echo(w, r)
	})})
	conn := connect(t, addr)
	conn.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
	if got := conn.hear("POST"); got != `408 X-Reason=body-timeout close ""` {
		t.Error(got)
	}
}

// After a refusal the client can read the answer although it goes on sending.
func TestLingeringClose(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo), ErrorHandler: func(h http.Header, r *http.Request, e *ProtocolError) []byte {
		h.Set("Content-Type", "text/plain")
		return []byte(r.RemoteAddr[:4] + " " + e.Error())
	}})
	conn := connect(t, addr)
	conn.say("GET / HTTP/1.1\r\nHost : x\r\n\r\n")
	for range 20 { // far more than the server read
		conn.say(strings.Repeat("x", 20<<10))
	}
	want := `400 Content-Type=text/plain close "127. space in or after a field name: \"Host : x\" (space-in-name)"`
	if got := conn.hear("GET"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
