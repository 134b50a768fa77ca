package http2

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

func handle(t *testing.T, h http.HandlerFunc) (url string, c *http.Client) {
	t.Helper()
	return "https://" + serve(t, &Server{Handler: h}), client(t)
}

func TestTrailersBothWays(t *testing.T) {
	url, c := handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Declared")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Declared", r.Trailer.Get("X-Sent"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "late")
	})
	r, err := http.NewRequest(http.MethodPost, url, io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-Sent": {"sent"}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "body" || resp.Trailer.Get("X-Declared") != "sent" || resp.Trailer.Get("X-Late") != "late" {
		t.Errorf("got %q, %v, %v", body, resp.Trailer, err)
	}
}

func TestInformational(t *testing.T) {
	url, c := handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.Copy(w, r.Body)
	})
	var got []int
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { got = append(got, code); return nil },
	})
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("body"))
	r.Header.Set("Expect", "100-continue")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "body" || len(got) == 0 || got[0] != http.StatusEarlyHints {
		t.Errorf("got %q after %v", body, got)
	}
}

// Large bodies need both windows to be given back, many times over.
func TestLargeBodiesBothWays(t *testing.T) {
	url, c := handle(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	sent := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	resp, err := c.Post(url, "a/b", bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(sent), err)
	}
}

func TestAnswersWithoutBody(t *testing.T) {
	url, c := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/204" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
	})
	resp, err := c.Head(url)
	if err != nil || resp.ContentLength != 5 {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
	if resp, err = c.Get(url + "/204"); err != nil || resp.StatusCode != http.StatusNoContent || resp.ContentLength != 0 {
		t.Errorf("204: %v, %v", resp, err)
	}
}

// An answer that the handler does not finish is never taken for whole.
func TestBrokenAnswers(t *testing.T) {
	panics := make(chan any, 1)
	s := &Server{PanicHandler: func(_ *http.Request, v any, _ []byte) { panics <- v }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "hello")
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/panic":
			panic("oops")
		}
	})}
	p := dial(t, serve(t, s))
	for i, path := range []string{"/short", "/abort", "/panic"} {
		id := uint32(2*i + 1)
		p.head(id, true, ":method", "GET", ":scheme", "https", ":path", path, ":authority", "a")
		if got := p.outcome(id); got != "RST INTERNAL_ERROR" {
			t.Errorf("%s: got %s", path, got)
		}
	}
	if v := <-panics; v != "oops" {
		t.Errorf("told of %v", v)
	}
	p.get(9)
}

// An answer before the end of the body is whole, and followed by RST_STREAM with NO_ERROR (RFC 9113 section 8.1).
func TestEarlyAnswer(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusForbidden)
		}
	})}))
	p.head(1, false, post()...)
	if got := p.outcome(1); got != "403" {
		t.Errorf("got %s", got)
	}
	if got := p.outcome(1); got != "RST NO_ERROR" {
		t.Errorf("then %s", got)
	}
	p.must(p.framer.WriteData(1, true, []byte("sent before the client knew")))
	p.get(3)
}

// untilHeld waits until a handler has begun.
func (p *peer) untilHeld(h *holding) {
	p.Helper()
	for h.now.Load() == 0 {
		p.must(p.framer.WritePing(false, [8]byte{}))
		_, err := p.framer.ReadFrame()
		p.must(err)
	}
}

// A shutdown serves what is under way and what crosses it, then ends the connection.
func TestShutdown(t *testing.T) {
	h := &holding{leave: make(chan struct{})}
	s := &Server{Handler: h, lastCall: time.Hour} // until the client answers
	p := dial(t, serve(t, s))
	p.head(1, true, sound()...)
	p.untilHeld(h)
	s.Shutdown()
	if got := p.outcome(0); got != "GOAWAY NO_ERROR" {
		t.Fatalf("got %s", got)
	}
	p.head(3, true, sound()...) // the first GOAWAY allows it
	close(h.leave)
	for answered := 0; answered < 2; {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		if f, ok := frame.(*xhttp2.MetaHeadersFrame); ok && f.PseudoValue("status") == "200" {
			answered++
		}
	}
	p.must(p.framer.WritePing(true, [8]byte([]byte(leavePing))))
	if got := p.outcome(0); got != "GOAWAY NO_ERROR" {
		t.Errorf("got %s", got)
	}
	if got := p.outcome(0); got != "EOF" {
		t.Errorf("got %s", got)
	}
}

// A stream that crosses the last GOAWAY is not looked at, and its frames harm nobody: those that are served go on (RFC 9113 section 6.8).
func TestStreamBeyondGoAway(t *testing.T) {
	h := &holding{leave: make(chan struct{})}
	s := &Server{Handler: h, lastCall: time.Hour}
	p := dial(t, serve(t, s))
	p.head(1, true, sound()...)
	p.untilHeld(h)
	s.Shutdown()
	p.want(0, "GOAWAY NO_ERROR")
	p.must(p.framer.WritePing(true, [8]byte([]byte(leavePing))))
	p.want(0, "GOAWAY NO_ERROR")
	p.head(3, false, post()...)
	p.must(p.framer.WriteData(3, false, []byte("body")))
	p.must(p.framer.WriteWindowUpdate(3, 5))
	p.must(p.framer.WriteRSTStream(3, xhttp2.ErrCodeCancel))
	p.head(3, true, "x", "y")
	close(h.leave)
	p.want(1, "200")
	if got := h.most.Load(); got != 1 {
		t.Errorf("%d handlers", got)
	}
}
