package http1

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// A client that does not send its body is looked at ever more seldom, as one that waits for an answer is: thousands of them would cost
// more than everything else.
func TestSlowBodiesAreSeldomLookedAt(t *testing.T) {
	s := &Server{watchEvery: time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	connect(t, serve(t, s)).say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	eventually(t, "the time between two looks grows", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.watch.mu.Lock()
			period := c.watch.period
			c.watch.mu.Unlock()
			if period > 8*s.watchEvery {
				return true
			}
		}
		return false
	})
}
