package sock

import (
	"io"
	"runtime"
	"sync"
	"syscall"
)

// CanSplice reports whether there are pipes.
const CanSplice = true

// PipeSize is how many bytes a pipe holds at most.
const PipeSize = 256 << 10

const (
	spliceFlags = 0x01 | 0x02 // SPLICE_F_MOVE | SPLICE_F_NONBLOCK
	setPipeSize = 1031        // F_SETPIPE_SZ
)

// Pipe carries bytes between two sockets inside the kernel.
type Pipe struct{ r, w, held int }

// pipes keeps pipes that are empty. Those the collector drops are closed.
var pipes = sync.Pool{New: func() any { return newPipe() }}

func newPipe() *Pipe {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil
	}
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[0]), setPipeSize, PipeSize)
	p := &Pipe{r: fds[0], w: fds[1]}
	runtime.SetFinalizer(p, (*Pipe).close)
	return p
}

func (p *Pipe) close() {
	runtime.SetFinalizer(p, nil)
	_ = syscall.Close(p.r)
	_ = syscall.Close(p.w)
}

// OpenPipe returns an empty pipe; nil when the process may open no more files.
func OpenPipe() *Pipe {
	p, _ := pipes.Get().(*Pipe)
	return p
}

// Fill moves up to n bytes from a socket into the pipe. It does not wait: see
// [WouldBlock]. The end of the stream is io.EOF.
func (p *Pipe) Fill(fd uintptr, n int) error {
	moved, err := splice(int(fd), p.w, n)
	if err == nil && moved == 0 {
		return io.EOF
	}
	p.held += moved
	return err
}

// Empty moves bytes from the pipe to a socket, without waiting, and returns
// how many.
func (p *Pipe) Empty(fd uintptr) (int, error) {
	moved, err := splice(p.r, int(fd), p.held)
	p.held -= moved
	return moved, err
}

// Held is how many bytes are in the pipe.
func (p *Pipe) Held() int { return p.held }

// Release gives the pipe up.
func (p *Pipe) Release() {
	if p.held > 0 {
		p.close()
		return
	}
	pipes.Put(p)
}

func splice(from, to, n int) (int, error) {
	for {
		moved, err := syscall.Splice(from, nil, to, nil, n, spliceFlags)
		switch err {
		case nil:
			return int(moved), nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, errWouldBlock
		}
		return 0, err
	}
}
