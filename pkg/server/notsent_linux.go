package server

import (
	"net"
	"syscall"
)

const (
	// maxNotSent is how much of an answer the kernel holds that it could not send yet. Without a bound it takes several MiB for each client
	// that does not read: with many of them that is memory, and time that others wait for. 256 KiB would be enough for them, but cost a
	// quarter more CPU for large downloads (e2e/bench/NOTES.md).
	maxNotSent   = 1 << 20
	notSentLowat = 25 // TCP_NOTSENT_LOWAT of tcp(7)
)

// limitNotSent sets that bound. Where it cannot be had, it is memory that is not saved.
func limitNotSent(socket *net.TCPConn) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, maxNotSent) })
}
