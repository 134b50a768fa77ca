package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/usher-ingress/usher/pkg/http1"
)

// What the options of the engines are is tested there; here, that each limit of ours arrives in both protocols.

func TestHeadLimit(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Limits.HeadBytes = 8 << 10 })
	large := strings.Repeat("c", 10<<10)
	r, err := http.NewRequest(http.MethodGet, "http://"+s.http, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", large)
	resp, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 431 {
		t.Errorf("HTTP/1.1: got %d", resp.StatusCode)
	}
	c := dialHTTP2(t, s.https)
	c.request(1, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example.com", "cookie", large)
	if status, _ := c.response(1); status != "431" {
		t.Errorf("HTTP/2: got %s", status)
	}
}

func TestKeepAliveLimits(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Limits.KeepAliveRequests = 2 })
	conn, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, last := range []bool{false, true} {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.Close != last {
			t.Errorf("Connection: close is %v, want %v", resp.Close, last)
		}
	}
	s = start(t, tell, func(o *Options) { o.Limits.KeepAlive = 50 * time.Millisecond })
	for _, url := range []string{"http://" + s.http, "https://" + s.https} {
		get(t, client(t), url) // stays idle from here on
	}
	until(t, "idle connections closed", func() bool { return s.conns.on("http")+s.conns.on("https") == 0 })
}

func TestHTTP2IdleIsToldGoAway(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Limits.KeepAlive = 20 * time.Millisecond })
	if f := dialHTTP2(t, s.https).goAway(); f.ErrCode != http2.ErrCodeNo {
		t.Errorf("got %v", f)
	}
}

func TestSlowHeads(t *testing.T) {
	for sent, want := range map[string]string{"": "", "GET / HT": "HTTP/1.1 408 "} {
		s := start(t, tell, func(o *Options) {
			o.Limits.Head, o.Limits.FirstByte = 20*time.Millisecond, time.Minute
			if sent == "" {
				o.Limits.Head, o.Limits.FirstByte = time.Minute, 20*time.Millisecond
			}
		})
		conn, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, sent)
		if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), want) || want == "" && len(got) > 0 {
			t.Errorf("%q: got %q", sent, got)
		}
	}
}

func TestHTTP2BodyThatStops(t *testing.T) {
	failed := make(chan error, 1)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		failed <- err
		w.WriteHeader(http.StatusRequestTimeout)
	}, func(o *Options) { o.Limits.BodyIdle = 20 * time.Millisecond })
	c := dialHTTP2(t, s.https)
	c.head(1, false, ":method", "POST", ":scheme", "https", ":path", "/", ":authority", "a.example.com")
	c.must(c.framer.WriteData(1, false, []byte("and then")))
	err := <-failed
	if body, ok := err.(*http1.BodyError); !ok || body.Status != 408 || body.Reason != "body-timeout" {
		t.Errorf("got %v", err)
	}
	if status, _ := c.response(1); status != "408" {
		t.Errorf("got %s", status)
	}
}

// A gRPC stream may be silent.
func TestHTTP2GRPCMayBeSilent(t *testing.T) {
	reading := make(chan struct{})
	got := make(chan string, 1)
	s := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(reading)
		b, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(string(b), err)
	}, func(o *Options) { o.Limits.BodyIdle = time.Millisecond })
	c := dialHTTP2(t, s.https)
	c.head(1, false, ":method", "POST", ":scheme", "https", ":path", "/", ":authority", "a.example.com", "content-type", "application/grpc+proto")
	<-reading
	select {
	case early := <-got:
		t.Errorf("the stream ended with %s", early)
	case <-time.After(50 * time.Millisecond):
	}
	c.must(c.framer.WriteData(1, true, []byte("message")))
	if body := <-got; body != "message<nil>" {
		t.Errorf("got %s", body)
	}
}

// A client that takes nothing of its answer (a window of zero) does not hold the handler.
func TestHTTP2AnswerThatIsNotTaken(t *testing.T) {
	failed := make(chan error, 1)
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 1<<20))
		failed <- err
	}, func(o *Options) { o.Limits.WriteIdle = 50 * time.Millisecond })
	c := dialHTTP2(t, s.https)
	c.must(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	c.request(1, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example.com")
	if err := <-failed; err == nil {
		t.Error("a megabyte went into a window of zero")
	}
	if status, _ := c.response(1); status != "RST" {
		t.Errorf("got %s", status)
	}
}

// One that takes it slowly, but does, gets all of it.
func TestHTTP2SlowReaderIsServed(t *testing.T) {
	const size = 300 << 10
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		for range size >> 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				t.Error(err)
			}
		}
		_ = http.NewResponseController(w).Flush()
	}, func(o *Options) { o.Limits.WriteIdle = 10 * time.Second })
	c := dialHTTP2(t, s.https)
	c.request(1, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example.com")
	total := 0
	for total < size {
		frame, err := c.framer.ReadFrame()
		c.must(err)
		if f, ok := frame.(*http2.DataFrame); ok && len(f.Data()) > 0 {
			total += len(f.Data())
			c.must(c.framer.WriteWindowUpdate(0, uint32(len(f.Data()))))
			c.must(c.framer.WriteWindowUpdate(1, uint32(len(f.Data()))))
		}
	}
}
