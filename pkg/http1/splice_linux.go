package http1

import (
	"io"
	"runtime"
	"sync"
	"syscall"
)

const canSplice = true

// pipe carries bytes between two sockets inside the kernel.
type pipe struct{ r, w int }

const (
	spliceFlags = 0x01 | 0x02 // SPLICE_F_MOVE | SPLICE_F_NONBLOCK
	setPipeSize = 1031        // F_SETPIPE_SZ
	pipeSize    = 256 << 10
)

// pipes keeps pipes that are empty. Those the collector drops are closed.
var pipes = sync.Pool{New: func() any { return newPipe() }}

func newPipe() *pipe {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil
	}
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[0]), setPipeSize, pipeSize)
	p := &pipe{fds[0], fds[1]}
	runtime.SetFinalizer(p, (*pipe).close)
	return p
}

func (p *pipe) close() {
	runtime.SetFinalizer(p, nil)
	_ = syscall.Close(p.r)
	_ = syscall.Close(p.w)
}

// splicer is one direction of bytes between two plain sockets.
type splicer struct {
	pipe   *pipe
	dst    *wire
	src    *wire
	inPipe int
	want   int
	err    error
}

// fill moves bytes from the source into the pipe. While it waits it holds no
// pipe.
func (s *splicer) fill(fd uintptr) bool {
	if s.pipe == nil {
		if s.pipe, _ = pipes.Get().(*pipe); s.pipe == nil {
			s.err = syscall.EMFILE
			return true
		}
	}
	for {
		n, err := syscall.Splice(int(fd), nil, s.pipe.w, nil, s.want, spliceFlags)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			pipes.Put(s.pipe)
			s.pipe = nil
			return false
		case err != nil:
			s.err = err
		case n == 0:
			s.err = io.EOF
		}
		s.inPipe = int(max(n, 0))
		return true
	}
}

// empty moves bytes from the pipe to the destination.
func (s *splicer) empty(fd uintptr) bool {
	for s.inPipe > 0 {
		n, err := syscall.Splice(s.pipe.r, nil, int(fd), nil, s.inPipe, spliceFlags)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			s.err = err
			return true
		}
		s.inPipe -= int(n)
		s.dst.armWriteFar()
	}
	return true
}

// splice moves n bytes from src to dst, or fewer when src ends (io.EOF).
// moved counts what arrived at dst.
func splice(dst, src *wire, n int64, idle idleTimes) (moved int64, rerr, werr error) {
	s := &splicer{dst: dst, src: src}
	defer s.finish()
	fill, empty := s.fill, s.empty
	dst.relayIdle = idle.write
	for moved < n {
		s.want = int(min(n-moved, pipeSize))
		s.err = nil
		if err := src.wait(fill, idle.read); err != nil {
			return moved, err, nil
		}
		if s.err != nil {
			return moved, s.err, nil
		}
		filled := s.inPipe
		dst.armWrite(idle.write)
		if dst.stop.Load() {
			return moved, nil, errInterrupted
		}
		err := dst.raw.Write(empty)
		moved += int64(filled - s.inPipe)
		if err == nil {
			err = s.err
		}
		if err != nil {
			return moved, nil, err
		}
	}
	return moved, nil, nil
}

// finish gives the pipe back if it is empty.
func (s *splicer) finish() {
	if s.pipe == nil {
		return
	}
	if s.inPipe > 0 {
		s.pipe.close()
		return
	}
	pipes.Put(s.pipe)
}
