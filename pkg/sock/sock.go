package sock

import (
	"net"
	"syscall"
)

// Plain looks through a wrapper that only adds addresses. A type that
// wraps a TCP connection without touching its bytes (behind PROXY protocol,
// say) has a method TCPConn; reading and writing then bypass the wrapper.
func Plain(c net.Conn) net.Conn {
	if w, ok := c.(interface{ TCPConn() *net.TCPConn }); ok {
		if t := w.TCPConn(); t != nil {
			return t
		}
	}
	return c
}

// Peer is the socket below c, whatever c does to the bytes.
func Peer(c net.Conn) syscall.RawConn {
	for range 4 {
		if raw := Raw(c); raw != nil {
			return raw
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = Plain(below.NetConn())
	}
	return nil
}
