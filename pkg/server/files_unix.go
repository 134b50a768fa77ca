//go:build unix

package server

import "syscall"

// openFiles is how many files this process may have open: the hard limit, to which Go raises the soft one when a process starts.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what most systems begin with
	}
	return uint64(limit.Cur) //nolint:unconvert // signed on FreeBSD
}
