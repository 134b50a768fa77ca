package http2

import (
	"net/http"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

// A client of gRPC pings after DATA, to measure the way. A stream of many small messages is no flood of pings.
func TestPingsOfABusyStream(t *testing.T) {
	const messages = 3000
	more := make(chan struct{})
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range messages {
			<-more
			_, _ = w.Write([]byte("message"))
			_ = http.NewResponseController(w).Flush()
		}
	})}))
	p.head(1, true, sound()...)
	for range messages {
		more <- struct{}{}
		for heard := 0; heard < 1; {
			frame, err := p.framer.ReadFrame()
			p.must(err)
			switch f := frame.(type) {
			case *xhttp2.DataFrame:
				heard++
				p.must(p.framer.WritePing(false, [8]byte{}))
				p.must(p.framer.WriteWindowUpdate(0, uint32(len(f.Data()))))
				p.must(p.framer.WriteWindowUpdate(1, uint32(len(f.Data()))))
			case *xhttp2.GoAwayFrame:
				t.Fatalf("got %v", f)
			}
		}
	}
	p.want(1, "")
}

// A stream that rests for days, with a ping every ten seconds, is not sent away: time pays for a little.
func TestPingsOfARestingStream(t *testing.T) {
	s := &Server{}
	s.prepare()
	c := newConn(s, &attack{}, nil)
	c.streams[1] = &stream{}
	for range 24 * 60 * 4 { // a day
		c.beat(15 * time.Second)
		if err := c.settle(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.receivePing(frame{payload: make([]byte, 8)}); err != nil {
				t.Fatal(err)
			}
		}
		c.out = c.out[:0]
	}
}

// Who stops an answer that has begun, as players of videos do, did not ask for nothing.
func TestAnswersThatAreStopped(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Stop") != "" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})}))
	for id := uint32(1); id < 800; id += 2 {
		p.head(id, true, sound("x-stop", "1")...)
		for begun := false; !begun; {
			frame, err := p.framer.ReadFrame()
			p.must(err)
			if f, over := frame.(*xhttp2.GoAwayFrame); over {
				t.Fatalf("stream %d: got %v", id, f)
			}
			_, begun = frame.(*xhttp2.MetaHeadersFrame)
		}
		p.must(p.framer.WriteRSTStream(id, xhttp2.ErrCodeCancel))
	}
	p.get(801)
}

// What is on its way when we refuse a stream, a window of a body for each, is not held against the client.
func TestRefusedUploads(t *testing.T) {
	h := &holding{leave: make(chan struct{})}
	defer close(h.leave)
	p := dial(t, serve(t, &Server{Handler: h, Limits: Limits{Streams: 1}}))
	p.head(1, true, sound()...)
	for id := uint32(3); id < 23; id += 2 {
		p.head(id, false, post()...)
		for range 30 {
			p.must(p.framer.WriteData(id, false, []byte("piece")))
		}
		p.must(p.framer.WriteData(id, true, nil))
		p.want(id, "RST REFUSED_STREAM")
	}
	p.must(p.framer.WritePing(false, [8]byte{1}))
	for {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		switch f := frame.(type) {
		case *xhttp2.PingFrame:
			return
		case *xhttp2.RSTStreamFrame, *xhttp2.GoAwayFrame:
			t.Fatalf("got %v", f)
		}
	}
}

// 204 and 1xx have no Content-Length (RFC 9110 section 8.6).
func TestNoLengthWhereThereIsNoBody(t *testing.T) {
	p := dial(t, serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = []string{"0"}
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	})}))
	p.head(1, true, sound()...)
	for ended := false; !ended; {
		frame, err := p.framer.ReadFrame()
		p.must(err)
		f, ok := frame.(*xhttp2.MetaHeadersFrame)
		if !ok {
			continue
		}
		for _, field := range f.RegularFields() {
			if field.Name == "content-length" {
				t.Errorf("%s has %v", f.PseudoValue("status"), field)
			}
		}
		ended = f.StreamEnded()
	}
}
