package http1

import (
	"net"
	"syscall"
)

// rawSocket gives access to a socket whose bytes are the connection's bytes.
// Wrappers that embed one have a SyscallConn too but may change the bytes, so
// only the two types themselves count.
func rawSocket(c net.Conn) syscall.RawConn {
	switch s := c.(type) {
	case *net.TCPConn:
		raw, err := s.SyscallConn()
		if err == nil {
			return raw
		}
	case *net.UnixConn:
		raw, err := s.SyscallConn()
		if err == nil {
			return raw
		}
	}
	return nil
}

func readSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// writeSocket writes what the socket takes without waiting.
func writeSocket(fd uintptr, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := syscall.Write(int(fd), p[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

func wouldBlock(err error) bool { return err == syscall.EAGAIN }

// shutdownSocket ends both directions of a socket.
func shutdownSocket(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }

// What a look at a socket, without reading from it, shows.
type socketState int

const (
	socketQuiet socketState = iota // open, nothing to read
	socketReady                    // bytes wait to be read
	socketGone                     // the peer has closed, or an error is pending
)

const tcpCloseWait = 8 // TCP_CLOSE_WAIT: the peer has sent FIN

// look peeks at a socket.
func look(fd uintptr) socketState {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return socketQuiet
	case err != nil || n <= 0:
		return socketGone
	}
	return socketReady
}

// finReceived reports whether the peer will send nothing more, even when
// bytes are still to be read. The first byte of TCP_INFO is the state; on a
// big-endian machine it is not found, and the peer counts as present.
func finReceived(fd uintptr) bool {
	info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	return err == nil && info&0xff == tcpCloseWait
}
