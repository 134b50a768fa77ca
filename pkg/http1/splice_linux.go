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
	dst, src *wire
	idle     idleTimes
	fillFn   func(uintptr) bool
	emptyFn  func(uintptr) bool

	pipe   *pipe // nil while it waits for the source
	inPipe int
	want   int
	err    error
}

func newSplicer(dst, src *wire, idle idleTimes) *splicer {
	s := &splicer{dst: dst, src: src, idle: idle}
	s.fillFn, s.emptyFn = s.fill, s.empty
	return s
}

// fill moves bytes from the source into the pipe.
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
		if !s.dst.stop.Load() {
			s.dst.armWrite(s.idle.write) // progress: the time starts again
		}
	}
	return true
}

// step moves what there is, at most n bytes, waiting for it if need be. moved
// counts what arrived. The read error is io.EOF when the source has ended.
func (s *splicer) step(n int64) (moved int64, rerr, werr error) {
	s.want, s.err = int(min(n, pipeSize)), nil
	if err := s.src.wait(s.fillFn, s.idle.read); err != nil {
		return 0, err, nil
	}
	if s.err != nil {
		return 0, s.err, nil
	}
	filled := s.inPipe
	s.dst.armWrite(s.idle.write)
	if s.dst.stop.Load() {
		return 0, nil, errInterrupted
	}
	err := s.dst.raw.Write(s.emptyFn)
	if err == nil {
		err = s.err
	}
	return int64(filled - s.inPipe), nil, err
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

// splice moves n bytes from src to dst, or fewer when src ends (io.EOF).
// moved counts what arrived at dst.
func splice(dst, src *wire, n int64, idle idleTimes) (moved int64, rerr, werr error) {
	s := newSplicer(dst, src, idle)
	defer s.finish()
	for moved < n && rerr == nil && werr == nil {
		var m int64
		m, rerr, werr = s.step(n - moved)
		moved += m
	}
	return moved, rerr, werr
}
