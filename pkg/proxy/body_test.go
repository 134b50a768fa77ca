package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

func poolDefaults() pool.Options { return pool.Options{} }

// sink answers with what it received.
func sink(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fmt.Fprintf(w, "length %d, got %d, trailer %q", r.ContentLength, len(body), r.Trailer.Get("X-Sum"))
}

func TestBodyLimits(t *testing.T) {
	limit := with(func(s *policy.Set) { s.Body.MaxSize = 1000 })
	for _, c := range []struct {
		name, request string
		code          int
		reason        policy.Reason
		tries         int
	}{
		{"by length, without reading", "Content-Length: 1001\r\n\r\n", 413, policy.BodyTooLarge, 0},
		{"just fits", "Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000), 200, "", 1},
		{"while streaming", "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100\r\n"+strings.Repeat("x", 256)+"\r\n", 4), 413, policy.BodyTooLarge, 1},
		{"chunked and fits", "Transfer-Encoding: chunked\r\n\r\n100\r\n" + strings.Repeat("x", 256) + "\r\n0\r\n\r\n", 200, "", 1},
		{"bad chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", 400, policy.BadRequest, 1},
	} {
		for _, buffered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, buffered=%v", c.name, buffered), func(t *testing.T) {
				r := newRig(t, tableOf([]string{app(t, sink)}, limit, with(func(s *policy.Set) { s.Body.Buffer = buffered })))
				res, _ := r.send("POST / HTTP/1.1\r\nHost: app.test\r\n" + c.request)
				status(t, res, c.code, c.reason)
				tries := c.tries
				if buffered && c.code != 200 {
					tries = 0
				}
				if rec := r.record(1); len(rec.Tries) != tries {
					t.Errorf("%d tries, want %d", len(rec.Tries), tries)
				}
				for _, s := range r.pool.Snapshot() {
					if s.Failures != 0 {
						t.Errorf("the client's fault was counted against the endpoint: %+v", s)
					}
				}
			})
		}
	}
}

func TestBuffering(t *testing.T) {
	slow := with(func(s *policy.Set) { s.Body.Buffer, s.Body.BufferSize, s.Body.MaxSize = true, 1000, 0 })
	r := newRig(t, tableOf([]string{app(t, sink)}, slow))
	for _, n := range []int{1, 999, 1000, 1001, 100_000} {
		_, body := r.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n)))
		wants(t, body, fmt.Sprintf("length %d, got %d,", n, n))
	}
	// What was buffered whole can be sent again.
	bad := raw(t, func(c net.Conn) { _, in := readHead(c); _, _ = io.CopyN(io.Discard, in, 500); reset(c) })
	again := newRig(t, tableOf([]string{bad, app(t, sink)}, slow))
	for range 2 { // whichever comes first
		res, body := again.send("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 500\r\n\r\n" + strings.Repeat("x", 500))
		if res.StatusCode != 200 {
			t.Error(res.Status)
		}
		wants(t, body, "length 500, got 500,")
	}
	res1, _ := again.send("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500000))
	res2, _ := again.send("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500000))
	if res1.StatusCode+res2.StatusCode != 200+502 {
		t.Errorf("a body that was streamed was sent twice: %s, %s", res1.Status, res2.Status)
	}
}

func TestBodiesAreStreamed(t *testing.T) {
	arrived := make(chan string, 10)
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, r *http.Request) {
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			arrived <- line
		}
	})}))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(line), line)
		select {
		case got := <-arrived:
			if got != line {
				t.Fatalf("got %q", got)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a part of the body did not arrive before the next was sent")
		}
	}
	fmt.Fprint(conn, "0\r\n\r\n")
	if res, _ := readResponse(t, bufio.NewReader(conn), false); res.StatusCode != 200 {
		t.Error(res.Status)
	}
}

func TestRequestTrailers(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, sink)}))
	_, body := r.send("POST / HTTP/1.1\r\nHost: app.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
	wants(t, body, `got 5, trailer "42"`)
}

func TestResponseTrailers(t *testing.T) {
	upstream := app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "hello")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "43")
	})
	r := newRig(t, tableOf([]string{upstream}))
	res, body := r.send("GET / HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\n\r\n")
	if body != "hello" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("%q, trailer %v", body, res.Trailer)
	}
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.Trailer.Get("X-Sum") != "42" || res.Trailer.Get("X-Late") != "43" {
			t.Errorf("h2=%v: trailer %v", h2, res.Trailer)
		}
	}
}

func TestContinue(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	for _, c := range []struct {
		name    string
		app     http.HandlerFunc
		options func(*policy.Set)
		first   string // the status line that comes before the body is sent
	}{
		{"asked for", sink, func(*policy.Set) {}, "100 Continue"},
		{"refused by the application", refuse, func(*policy.Set) {}, "401 Unauthorized"},
		{"too large", sink, func(s *policy.Set) { s.Body.MaxSize = 3 }, "413 Request Entity Too Large"},
		{"buffered", sink, func(s *policy.Set) { s.Body.Buffer = true }, "100 Continue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, tableOf([]string{app(t, c.app)}, with(c.options)))
			conn, err := net.Dial("tcp", r.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			line, _ := in.ReadString('\n')
			if line != "HTTP/1.1 "+c.first+"\r\n" {
				t.Fatalf("got %q", line)
			}
			if c.first != "100 Continue" {
				return
			}
			_, _ = in.ReadString('\n')
			fmt.Fprint(conn, "hello")
			_, body := readResponse(t, in, false)
			wants(t, body, "got 5")
		})
	}
}

func TestInterimResponses(t *testing.T) {
	upstream := app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "done")
	})
	r := newRig(t, tableOf([]string{upstream}))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	in := bufio.NewReader(conn)
	first, _ := readResponse(t, in, false)
	if first.StatusCode != 103 || first.Header.Get("Link") == "" {
		t.Errorf("%s %v", first.Status, first.Header)
	}
	final, body := readResponse(t, in, false)
	if final.StatusCode != 200 || body != "done" || final.Header.Get("Link") != "" {
		t.Errorf("%s %q %v", final.Status, body, final.Header)
	}
}

func TestEventsArriveAtOnce(t *testing.T) {
	for name, h2 := range map[string]bool{"http/1.1": false, "h2": true} {
		t.Run(name, func(t *testing.T) {
			next, seen := make(chan struct{}), make(chan struct{})
			upstream := app(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush()
				for range 3 {
					<-next
					_, _ = io.WriteString(w, "data: x\n\n")
					w.(http.Flusher).Flush()
				}
				<-seen
			})
			defer close(seen)
			r := newRig(t, tableOf([]string{upstream}))
			res, err := r.client(h2).Get("https://app.test/") // the head arrives before any event
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			in := bufio.NewReader(res.Body)
			for range 3 {
				next <- struct{}{}
				if line, err := in.ReadString('\n'); line != "data: x\n" {
					t.Fatalf("%q %v", line, err)
				}
				_, _ = in.ReadString('\n')
			}
		})
	}
}

func TestClientLeaves(t *testing.T) {
	cancelled := make(chan struct{})
	arrived := make(chan struct{})
	upstream := app(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(cancelled)
	})
	r := newRig(t, tableOf([]string{upstream, upstream}))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	<-arrived
	_ = conn.Close()
	<-cancelled
	rec := r.record(1)
	if rec.Status != 499 || rec.Reason != policy.ClientClosed || len(rec.Tries) != 1 {
		t.Errorf("record %+v", rec)
	}
	if s := r.pool.Snapshot(); s[0].Failures != 0 || s[0].InFlight != 0 {
		t.Errorf("pool %+v", s)
	}
}

func TestLargeBodiesBothWays(t *testing.T) {
	upstream := app(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		_, _ = io.Copy(w, r.Body)
	})
	r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) { s.Body.MaxSize = 0 })))
	const size = 8 << 20
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Post("https://app.test/", "application/octet-stream", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || n != size || res.StatusCode != 200 {
			t.Errorf("h2=%v: %s, %d bytes: %v", h2, res.Status, n, err)
		}
	}
	_, body := r.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))
	if len(body) != size {
		t.Errorf("%d bytes", len(body))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestNoBodyMeansNone: a request without a body has none upstream, whatever the client speaks.
func TestNoBodyMeansNone(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " ", r.ContentLength, " ", r.TransferEncoding)
	})}))
	for _, h2 := range []bool{false, true} {
		for _, method := range []string{"GET", "DELETE", "POST"} {
			req, _ := http.NewRequest(method, "https://app.test/", http.NoBody)
			res, err := r.client(h2).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if want := method + " 0 []"; string(body) != want {
				t.Errorf("h2=%v: %q, want %q", h2, body, want)
			}
		}
	}
}
