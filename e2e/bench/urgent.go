package main

import (
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"
)

// urgent lets the thread that runs paced go before everything else on its core, as a real-time thread, and stops the collector of this
// program meanwhile. Without the right to do that (CAP_SYS_NICE) the backend, or whoever else runs, may keep it waiting for as long as
// the scheduler's slice, milliseconds, and these count as the proxy's.
//
// The goroutine is not locked to its thread: the runtime preempts it every 10 ms, and a locked one gets its processor back by way of
// another thread, which would have to wait for the backend. On one core, with system calls of which the runtime is not told, it goes on
// where it was.
func urgent() (undo func()) {
	collector := debug.SetGCPercent(-1)
	thread := syscall.Gettid()
	const fifo, resetOnFork = 1, 0x40000000 // SCHED_FIFO; threads that the runtime starts meanwhile are ordinary ones
	set := func(policy uintptr, priority int32) {
		_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, uintptr(thread), policy, uintptr(unsafe.Pointer(&priority)))
	}
	set(fifo|resetOnFork, 1)
	return func() {
		set(0, 0)
		debug.SetGCPercent(collector)
	}
}

// rawIO is read or write on a socket that does not block.
func rawIO(call uintptr, fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// epollPwait2 is epoll_wait with a time-out in nanoseconds (Linux 5.11); its number is the same on all architectures.
const epollPwait2 = 441

func epollWait(epoll int, events []syscall.EpollEvent, pause time.Duration) (int, error) {
	timeout := syscall.NsecToTimespec(int64(pause))
	n, _, errno := syscall.RawSyscall6(epollPwait2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
