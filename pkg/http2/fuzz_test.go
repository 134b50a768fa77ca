package http2

import (
	"io"
	"net"
	"net/http"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// FuzzConnection gives a server the bytes of a client after its preface. Whatever they are, the connection ends when the client does,
// no handler is left, and no more of them ran than streams are allowed.
func FuzzConnection(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x04\x01\x05\x00\x00\x00\x01\x82\x84\x87\x41"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x06\x01\x04\x00\x00\x00\x01\x83\x84\x87\x01\x01a" + "\x00\x00\x02\x00\x01\x00\x00\x00\x01ab"))
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00" + "\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x84\x87\x01\x01a" + "\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x01"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82" + "\x00\x00\x05\x09\x04\x00\x00\x00\x01\x84\x87\x01\x01a"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		h := &holding{leave: make(chan struct{})}
		close(h.leave)
		s := &Server{Limits: Limits{Streams: 4, HeadBytes: 4 << 10}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			if r.Method == "" || r.URL.Path == "" || r.RequestURI == "" {
				t.Errorf("served without a method or path: %+v", r)
			}
			_, _ = io.Copy(w, r.Body)
		})}
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			s.ServeConn(server)
			close(ended)
		}()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			framer := xhttp2.NewFramer(io.Discard, client) // what we send is well-formed, to a strict reader
			for {
				if _, err := framer.ReadFrame(); err != nil {
					if _, bad := err.(xhttp2.ConnectionError); bad {
						t.Errorf("the answer: %v", err)
					}
					return
				}
			}
		}()
		_, _ = io.WriteString(client, preface)
		_, _ = client.Write(sent)
		client.Close()
		<-ended
		<-answered
		if now, most := h.now.Load(), h.most.Load(); now != 0 || most > 4 {
			t.Errorf("%d handlers left, %d at once", now, most)
		}
		if stats := s.Stats(); stats != (Stats{}) {
			t.Errorf("left: %+v", stats)
		}
	})
}
