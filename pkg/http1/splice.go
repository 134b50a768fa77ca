package http1

import (
	"syscall"

	"github.com/usher-ingress/usher/pkg/sock"
)

// splicer is one direction of bytes between two plain sockets.
type splicer struct {
	dst, src *wire
	idle     idleTimes
	fillFn   func(uintptr) bool
	emptyFn  func(uintptr) bool

	pipe *sock.Pipe // nil while it waits for the source
	want int
	err  error
}

func newSplicer(dst, src *wire, idle idleTimes) *splicer {
	s := &splicer{dst: dst, src: src, idle: idle}
	s.fillFn, s.emptyFn = s.fill, s.empty
	return s
}

// fill moves bytes from the source into the pipe.
func (s *splicer) fill(fd uintptr) bool {
	if s.pipe == nil {
		if s.pipe = sock.OpenPipe(); s.pipe == nil {
			s.err = syscall.EMFILE
			return true
		}
	}
	if s.err = s.pipe.Fill(fd, s.want); sock.WouldBlock(s.err) {
		s.finish()
		s.pipe, s.err = nil, nil
		return false
	}
	return true
}

// empty moves bytes from the pipe to the destination.
func (s *splicer) empty(fd uintptr) bool {
	for s.pipe.Held() > 0 {
		_, err := s.pipe.Empty(fd)
		if sock.WouldBlock(err) {
			return false
		}
		if err != nil {
			s.err = err
			return true
		}
		if !s.dst.stop.Load() {
			s.dst.armWrite(s.idle.write) // progress: the time starts again
		}
	}
	return true
}

// step moves what there is, at most n bytes, waiting for it if need be. moved
// counts what arrived. The read error is io.EOF when the source has ended.
func (s *splicer) step(n int64) (moved int64, rerr, werr error) {
	s.want, s.err = int(min(n, sock.PipeSize)), nil
	if err := s.src.wait(s.fillFn, s.idle.read); err != nil {
		return 0, err, nil
	}
	if s.err != nil {
		return 0, s.err, nil
	}
	filled := s.pipe.Held()
	s.dst.armWrite(s.idle.write)
	if s.dst.stop.Load() {
		return 0, nil, errInterrupted
	}
	err := s.dst.raw.Write(s.emptyFn)
	if err == nil {
		err = s.err
	}
	return int64(filled - s.pipe.Held()), nil, err
}

// finish gives the pipe back.
func (s *splicer) finish() {
	if s.pipe != nil {
		s.pipe.Release()
	}
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
