package sock

import (
	"net"
	"syscall"
	"unsafe"
)

// Raw gives access to a socket whose bytes are the connection's bytes.
// Wrappers that embed one have a SyscallConn too but may change the bytes, so
// only the two types themselves count.
func Raw(c net.Conn) syscall.RawConn {
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

// Read and Write are system calls that cannot wait, so the
// scheduler is not told of them (syscall.RawSyscall): preparing to lose the
// processor, twice for each call, costs half a microsecond, as much as the
// kernel needs for a read. The longest of them copies one buffer.

// Read reads what there is, or fails with EAGAIN.
func Read(fd uintptr, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_DONTWAIT, 0, 0)
		if err == 0 {
			raceWrite(p[:n])
			return int(n), nil
		}
		if err != syscall.EINTR {
			return 0, socketError(err)
		}
	}
}

// Write writes what the socket takes without waiting.
func Write(fd uintptr, p []byte) (n int, err error) {
	raceRead(p)
	for n < len(p) {
		rest := p[n:min(len(p), n+pieceSize)]
		m, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(rest))), uintptr(len(rest)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != 0 {
			return n, socketError(err)
		}
		n += int(m)
	}
	return n, nil
}

// socketError is err without an allocation for the usual one.
func socketError(err syscall.Errno) error {
	if err == syscall.EAGAIN {
		return errWouldBlock
	}
	return err
}

// pieceSize is how much is written by one call.
const pieceSize = 32 << 10

// errWouldBlock is EAGAIN as an error value.
var errWouldBlock error = syscall.EAGAIN

// WouldBlock reports whether err says that a call would have had to wait (EAGAIN).
func WouldBlock(err error) bool { return err == syscall.EAGAIN }

// Shutdown ends both directions of a socket.
func Shutdown(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }

// State is what a look at a socket, without reading from it, shows.
type State int

// The states.
const (
	Quiet State = iota // open, nothing to read
	Ready              // bytes wait to be read
	Gone               // the peer has closed, or an error is pending
)

// States of a connection (TCP_INFO).
const (
	tcpClose     = 7 // it was reset
	tcpCloseWait = 8 // the peer has sent FIN
)

// Look peeks at a socket. Like reading it cannot wait; telling the scheduler of
// it would wake the runtime's monitor after every pause of the process.
func Look(fd uintptr) State {
	n, err := peek(fd)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return Quiet
	case err != 0 || n == 0:
		return Gone
	}
	return Ready
}

// peek reads one byte and leaves it there.
func peek(fd uintptr) (n uintptr, err syscall.Errno) {
	var one [1]byte
	n, _, err = syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one)), uintptr(len(one)), syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return n, err
}

// ResetAfterFIN reports whether the peer has reset the connection, which it
// had ended with FIN before. A FIN is found before the error that the reset
// left; but once somebody was told of that error, there is no telling.
func ResetAfterFIN(fd uintptr) bool {
	n, err := peek(fd)
	return ResetReceived(fd) && n == 0 && err == 0
}

// FINReceived reports whether the peer will send nothing more, even when
// bytes are still to be read.
func FINReceived(fd uintptr) bool { return tcpState(fd) == tcpCloseWait }

// ResetReceived reports whether the peer has reset the connection.
func ResetReceived(fd uintptr) bool { return tcpState(fd) == tcpClose }

// tcpState is the first byte of TCP_INFO; on a big-endian machine it is not
// found, and the peer counts as present.
func tcpState(fd uintptr) int {
	info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return -1
	}
	return info & 0xff
}

// Unacknowledged is how many bytes of a socket are still to be sent, or were
// sent and not acknowledged (SIOCOUTQ). The number stays when the peer resets
// the connection.
func Unacknowledged(fd uintptr) int64 {
	var n int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return -1
	}
	return int64(n)
}
