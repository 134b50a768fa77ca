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

// send is write on a socket that does not block.
func send(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receive reads from a socket that has SO_TIMESTAMPNS and does not block, and tells when the kernel got the last of what it read.
func receive(fd int, p []byte) (int, time.Time, error) {
	var control [64]byte
	to := syscall.Iovec{Base: unsafe.SliceData(p)}
	to.SetLen(len(p))
	message := syscall.Msghdr{Iov: &to, Iovlen: 1, Control: &control[0]}
	message.SetControllen(len(control))
	n, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&message)), syscall.MSG_DONTWAIT)
	if errno != 0 {
		return 0, time.Time{}, errno
	}
	at := time.Now().Round(0)
	if header := (*syscall.Cmsghdr)(unsafe.Pointer(&control[0])); message.Controllen >= syscall.SizeofCmsghdr && header.Type == syscall.SO_TIMESTAMPNS {
		stamp := (*syscall.Timespec)(unsafe.Pointer(&control[syscall.CmsgLen(0)]))
		at = time.Unix(stamp.Unix())
	}
	return int(n), at, nil
}

// epollNow is epoll_wait without waiting.
func epollNow(epoll int, events []syscall.EpollEvent) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// pause sleeps, as a real-time thread to within microseconds. A signal may end it early.
func pause(d time.Duration) {
	length := syscall.NsecToTimespec(int64(d))
	_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&length)), 0, 0)
}
