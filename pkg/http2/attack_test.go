package http2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/usher-ingress/usher/pkg/http1"
)

// flood sends until the connection is cut, at most n times.
func (p *peer) flood(n int, send func(i int) error) {
	go func() {
		for i := range n {
			if send(i) != nil {
				return
			}
		}
	}()
}

// counted tells what a server counts; of a connection that is cut while the client still sends, the GOAWAY may be lost.
func counted(s *Server) (*Server, <-chan string) {
	kinds := make(chan string, 100_000)
	s.CountError = func(kind string) { kinds <- kind }
	return s, kinds
}

func (p *peer) awaits(kinds <-chan string, want string) {
	p.Helper()
	var others []string
	for limit := time.After(20 * time.Second); ; {
		select {
		case kind := <-kinds:
			if kind == want {
				return
			}
			others = append(others, kind)
		case <-limit:
			p.Fatalf("%s was not counted, but %v", want, others[:min(len(others), 10)])
		}
	}
}

// Frames that ask for nothing end the connection after so many, whatever they are.
func TestFloods(t *testing.T) {
	floods := map[string]func(p *peer, i int) error{
		"PING":          func(p *peer, _ int) error { return p.framer.WritePing(false, [8]byte{}) },
		"PING ACK":      func(p *peer, _ int) error { return p.framer.WritePing(true, [8]byte{}) },
		"SETTINGS ACK":  func(p *peer, _ int) error { return p.framer.WriteSettingsAck() },
		"SETTINGS":      func(p *peer, _ int) error { return p.framer.WriteSettings() },
		"PRIORITY":      func(p *peer, _ int) error { return p.framer.WritePriority(1, xhttp2.PriorityParam{Weight: 1}) },
		"unknown frame": func(p *peer, _ int) error { return p.framer.WriteRawFrame(0xbb, 0, 0, nil) },
		"empty DATA":    func(p *peer, _ int) error { return p.framer.WriteData(1, false, nil) },
		"RST_STREAM of a closed stream": func(p *peer, _ int) error {
			return p.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel)
		},
		"a frame full of settings": func(p *peer, i int) error {
			return p.framer.WriteRawFrame(xhttp2.FrameSettings, 0, 0, bytes.Repeat([]byte{0, 4, 0, 0, byte(i), 0}, 2730))
		},
		"a body after the answer": func(p *peer, _ int) error { return p.framer.WriteData(3, false, []byte("x")) },
	}
	for about, send := range floods {
		t.Run(about, func(t *testing.T) {
			s, kinds := counted(&Server{Handler: http.HandlerFunc(quick)})
			address := serve(t, s)
			p := dial(t, address)
			p.get(3)
			p.head(5, true, sound()...)
			if about == "RST_STREAM of a closed stream" {
				p = dial(t, address)
				p.get(1)
			} else if about == "empty DATA" {
				p = dial(t, address)
				p.head(1, false, post()...)
			}
			p.flood(5000, func(i int) error { return send(p, i) })
			p.awaits(kinds, "too-many-idle-frames") // of a stream that ended, one is a reset: RST_STREAM is sent once
		})
	}
}

// A byte of window at a time, whenever an answer waits for one, is a flood too: each costs us a frame and a record (CVE-2019-9511).
func TestDribble(t *testing.T) {
	s, kinds := counted(&Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })})
	p := dial(t, serve(t, s), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	p.head(1, true, sound()...)
	for range 5000 {
		p.must(p.framer.WriteWindowUpdate(1, 1))
		for {
			frame, err := p.framer.ReadFrame()
			p.must(err)
			if _, over := frame.(*xhttp2.GoAwayFrame); over {
				p.awaits(kinds, "too-many-idle-frames")
				return
			}
			if _, used := frame.(*xhttp2.DataFrame); used {
				break
			}
		}
	}
	t.Error("never cut")
}

// A reader that always lags behind holds no more than the client's window and what it takes to move that seldom.
func TestLaggingReader(t *testing.T) {
	c := &conn{server: &Server{}, failed: errClientGone} // so that no window is given back on the wire
	c.server.prepare()
	b := newBody(c, &stream{})
	piece := make([]byte, 16<<10)
	p := make([]byte, len(piece))
	for range 31 {
		b.append(piece)
	}
	for range 10_000 { // 160 MiB, with 500 KiB that wait all the time
		b.append(piece)
		if n, err := b.Read(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if held := cap(b.buffered); held > 1<<20 {
		t.Errorf("%d bytes are held", held)
	}
}

// holding is a handler that stays until it is told, and counts how many are in it.
type holding struct {
	now, most atomic.Int64
	leave     chan struct{}
}

func (h *holding) ServeHTTP(http.ResponseWriter, *http.Request) {
	n := h.now.Add(1)
	for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
	<-h.leave
	h.now.Add(-1)
}

// Rapid Reset (CVE-2023-44487), and resets that the client provokes us to make (CVE-2025-8671): the connection ends, and no more
// handlers ran at once than streams are allowed, though all were reset.
func TestResetFloods(t *testing.T) {
	provoke := map[string]func(p *peer, stream uint32) error{
		"by the client": func(p *peer, s uint32) error { return p.framer.WriteRSTStream(s, xhttp2.ErrCodeCancel) },
		"window update of zero": func(p *peer, s uint32) error {
			return p.framer.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, s, make([]byte, 4))
		},
		"window overflow":    func(p *peer, s uint32) error { return p.framer.WriteWindowUpdate(s, maxWindow) },
		"data after the end": func(p *peer, s uint32) error { return p.framer.WriteData(s, true, nil) },
		"priority of itself": func(p *peer, s uint32) error { return p.framer.WritePriority(s, xhttp2.PriorityParam{StreamDep: s}) },
	}
	for about, reset := range provoke {
		t.Run(about, func(t *testing.T) {
			h := &holding{leave: make(chan struct{})}
			defer close(h.leave)
			s, kinds := counted(&Server{Handler: h, Limits: Limits{Streams: 10}})
			p := dial(t, serve(t, s))
			block := p.encode(sound()...) // the same indexes of the table from the second request on
			again := p.encode(sound()...)
			p.flood(5000, func(i int) error {
				id := uint32(2*i + 1)
				if err := p.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}); err != nil {
					return err
				}
				block = again
				return reset(p, id)
			})
			p.awaits(kinds, "too-many-resets")
			if most := h.most.Load(); most > 10 {
				t.Errorf("%d handlers at once, at most 10 may be", most)
			}
		})
	}
}

// A field section without end is cut at a bound, whether its frames are full or empty (CVE-2024-27316).
func TestContinuationFlood(t *testing.T) {
	for _, fragment := range []string{strings.Repeat("\x82", 16<<10), ""} {
		s, kinds := counted(&Server{Handler: http.HandlerFunc(quick)})
		p := dial(t, serve(t, s))
		p.must(p.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.encode(sound()...), EndStream: true}))
		p.flood(5000, func(int) error { return p.framer.WriteContinuation(1, false, []byte(fragment)) })
		p.awaits(kinds, "headers-too-long")
	}
}

// A section of few bytes that stands for many (an HPACK bomb) is a 431, and the connection goes on.
func TestBomb(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(quick)}))
	p.head(1, true, sound("bomb", strings.Repeat("x", 4000))...) // enters the table
	if got := p.outcome(1); got != "200" {
		t.Fatalf("got %s", got)
	}
	block := append(p.encode(sound()...), strings.Repeat("\xbe", 16000)...)
	p.must(p.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: block, EndHeaders: true, EndStream: true}))
	if got := p.outcome(3); got != "431" {
		t.Errorf("got %s", got)
	}
	p.get(5)
}

// A client with windows of a byte gets a large answer byte by byte, and what waits for it stays in the handler.
func TestTinyWindow(t *testing.T) {
	wrote := make(chan int, 1000)
	address := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				close(wrote)
				return
			}
			wrote <- 1
		}
	})})
	p := dial(t, address, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1})
	p.head(1, true, sound()...)
	for got := 0; got < 100; {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		if f, ok := frame.(*xhttp2.DataFrame); ok {
			if len(f.Data()) != 1 {
				t.Fatalf("%d bytes in a window of 1", len(f.Data()))
			}
			got++
			p.must(p.framer.WriteWindowUpdate(1, 1))
		}
	}
	p.must(p.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
	n := 0
	for range wrote { // until the handler has seen the reset
		n++
	}
	if n > 0 {
		t.Errorf("%d writes of 64 KiB ended while the client took 100 bytes", n)
	}
}

// What a client may make us hold of a body is its window; more ends the stream.
func TestBodyBeyondWindow(t *testing.T) {
	h := &holding{leave: make(chan struct{})}
	defer close(h.leave)
	p := dial(t, serve(t, &Server{Handler: h, Limits: Limits{StreamWindow: 64 << 10}}))
	p.head(1, false, post()...)
	p.flood(5, func(int) error { return p.framer.WriteData(1, false, make([]byte, 16<<10)) })
	if got := p.outcome(1); got != "RST FLOW_CONTROL_ERROR" {
		t.Errorf("got %s", got)
	}
}

// Who resets a stream or leaves ends the context of its request, and its body.
func TestCancel(t *testing.T) {
	for _, how := range []string{"reset", "gone"} {
		ended, entered := make(chan error, 1), make(chan struct{})
		p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			_, err := io.Copy(io.Discard, r.Body)
			var body *http1.BodyError
			if !errors.As(err, &body) || !errors.Is(r.Context().Err(), context.Canceled) {
				err = errors.New("unexpected: " + err.Error())
			} else {
				err = nil
			}
			ended <- err
		})}))
		p.head(1, false, post()...)
		<-entered
		if how == "reset" {
			p.must(p.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
		} else {
			p.conn.Close()
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
}
