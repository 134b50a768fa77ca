package http2

import (
	"io"
	"net/http"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// data reads the next DATA frame.
func (p *peer) data() *xhttp2.DataFrame {
	p.Helper()
	for {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		if f, ok := frame.(*xhttp2.DataFrame); ok {
			return f
		}
	}
}

// settled sends a ping and reads to its answer: what was sent before has been acted on. DATA meanwhile are counted.
func (p *peer) settled() (data int) {
	p.Helper()
	p.must(p.framer.WritePing(false, [8]byte{1}))
	for {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		switch f := frame.(type) {
		case *xhttp2.PingFrame:
			if f.IsAck() {
				return data
			}
		case *xhttp2.DataFrame:
			data += len(f.Data())
		}
	}
}

// A window that is made smaller can be negative, and nothing is sent until it is positive again (RFC 9113 section 6.9.2).
func TestNegativeWindow(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	})}), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 40})
	p.head(1, true, sound()...)
	if got := len(p.data().Data()); got != 40 {
		t.Fatalf("%d bytes in a window of 40", got)
	}
	p.must(p.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})) // -30
	p.must(p.framer.WriteWindowUpdate(1, 30))                                                    // 0
	if got := p.settled(); got != 0 {
		t.Errorf("%d bytes in a window that is used up", got)
	}
	p.must(p.framer.WriteWindowUpdate(1, 5))
	if got := len(p.data().Data()); got != 5 {
		t.Errorf("%d bytes in a window of 5", got)
	}
	p.must(p.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1000}))
	if f := p.data(); len(f.Data()) != 55 || !f.StreamEnded() {
		t.Errorf("%d bytes remained of 55", len(f.Data()))
	}
}

// The connection's window binds all streams together (section 6.9.1), and a stream without DATA does not wait for it.
func TestConnectionWindow(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write(make([]byte, 50_000))
		}
	})}))
	for id := uint32(1); id <= 5; id += 2 {
		p.head(id, true, sound()...)
	}
	total := 0
	for total < 65_535 {
		total += len(p.data().Data())
	}
	if more := p.settled(); total != 65_535 || more != 0 {
		t.Fatalf("%d and %d bytes in a window of 65535", total, more)
	}
	p.head(7, true, ":method", "HEAD", ":scheme", "https", ":path", "/", ":authority", "a")
	if got := p.outcome(7); got != "200" {
		t.Errorf("HEAD: got %s", got)
	}
	p.must(p.framer.WriteWindowUpdate(0, 1<<20))
	for total < 150_000 {
		total += len(p.data().Data())
	}
}

// Frames that may come late for a stream that has ended are ignored (section 5.1).
func TestLateFrames(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(quick)}))
	p.get(1)
	p.must(p.framer.WriteWindowUpdate(1, 1))
	p.must(p.framer.WritePriority(1, xhttp2.PriorityParam{Weight: 1}))
	p.must(p.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
	p.get(3)
}

// Crumbs of a cookie are one again for who speaks HTTP/1.1 (section 8.2.3).
func TestCookieCrumbs(t *testing.T) {
	got := make(chan []string, 1)
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header["Cookie"] })}))
	p.head(1, true, sound("cookie", "a=b", "x", "y", "cookie", "c=d")...)
	if cookies := <-got; len(cookies) != 1 || cookies[0] != "a=b; c=d" {
		t.Errorf("got %q", cookies)
	}
}
