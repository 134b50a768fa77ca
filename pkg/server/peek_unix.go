//go:build unix

package server

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// peek looks at what a client says first and leaves it in the socket, so that whoever serves the connection next reads it as if nobody
// had looked: no wrapper stands between the socket and TLS, or the kernel's splice. It waits, until the connection's read deadline,
// for as many bytes as enough wants; enough is asked each time more of them are there, and says that it has seen what it needs or
// why it never will. peek returns how many bytes of buffer are filled; io.ErrShortBuffer says that a full one was not enough.
func peek(conn *net.TCPConn, buffer []byte, enough func(seen []byte) (bool, error)) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failure error
	look := func(fd uintptr) (done bool) {
		seen, err := peekSocket(int(fd), buffer)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil:
			failure = os.NewSyscallError("recvfrom", err)
			return true
		case seen == 0:
			failure = io.EOF
			return true
		}
		n = seen
		if done, failure = enough(buffer[:n]); !done && failure == nil && n == len(buffer) {
			failure = io.ErrShortBuffer
		}
		return done || failure != nil
	}
	// A callback that returns false is called again when more has arrived; what stays in the socket does not wake it by itself.
	if err := raw.Read(look); err != nil {
		return n, err
	}
	return n, failure
}

func peekSocket(fd int, p []byte) (int, error) {
	for {
		n, _, err := syscall.Recvfrom(fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
