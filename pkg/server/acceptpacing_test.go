package server

import (
	"net"
	"sync"
	"testing"
	"time"
)

func TestAcceptBurst(t *testing.T) {
	c := acceptPacer{lot: 4}
	at := time.Now()
	for i := range 12 {
		if got, want := c.burst(at), i%4 == 3; got != want {
			t.Errorf("number %d of those that come at once: %t, want %t", i, got, want)
		}
	}
	for i := range 12 {
		if at = at.Add(burstWindow); c.burst(at) {
			t.Errorf("number %d of those that come one by one is taken for a burst", i)
		}
	}
}

// Those who come in one instant and say nothing are all ended.
func TestManyAreLateAtOnce(t *testing.T) {
	s := start(t, tell, func(o *Options) { o.Limits.FirstByte, o.Limits.Handshake = 100*time.Millisecond, 100*time.Millisecond })
	var all sync.WaitGroup
	for i := range 4 * newAcceptPacer().lot {
		address := [2]string{s.http, s.https}[i%2]
		all.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); isTimeout(err) {
				t.Error("a silent connection was not ended")
			}
		})
	}
	all.Wait()
	until(t, "the end of all", func() bool { return s.open.taken.Load() == 0 })
}

// Those who come in one instant and ask are all served.
func TestManyAskAtOnce(t *testing.T) {
	s := start(t, tell)
	var all sync.WaitGroup
	for range 4 * newAcceptPacer().lot {
		all.Go(func() {
			if !servedAnew(s.http) {
				t.Error("a connection was not served")
			}
		})
	}
	all.Wait()
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
