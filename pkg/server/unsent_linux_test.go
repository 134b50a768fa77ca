package server

import (
	"net"
	"syscall"
	"testing"
)

// What a client does not read is kept by the kernel up to a bound, on every listener.
func TestUnsentIsBounded(t *testing.T) {
	s := start(t, tell)
	for _, address := range []string{s.http, s.https} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		until(t, "the bound", func() bool {
			bounded := 0
			for _, c := range s.conns.all() {
				raw, err := c.(*net.TCPConn).SyscallConn()
				if err != nil {
					continue // it ended
				}
				_ = raw.Control(func(fd uintptr) {
					if n, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat); err == nil && n == maxNotSent {
						bounded++
					}
				})
			}
			return bounded > 0 && bounded == len(s.conns.all())
		})
	}
}
