//go:build !linux

package http1

import (
	"net"
	"syscall"
)

// Elsewhere than on Linux everything works through net.Conn alone: idle
// connections keep a little more memory, a dead upstream connection is found
// by using it, and nothing is spliced.

type socketState int

const (
	socketQuiet socketState = iota
	socketReady
	socketGone
)

func rawSocket(net.Conn) syscall.RawConn       { return nil }
func readSocket(uintptr, []byte) (int, error)  { return 0, syscall.EINVAL }
func writeSocket(uintptr, []byte) (int, error) { return 0, syscall.EINVAL }
func wouldBlock(error) bool                    { return false }
func shutdownSocket(uintptr)                   {}
func look(uintptr) socketState                 { return socketQuiet }
func finReceived(uintptr) bool                 { return false }
func resetReceived(uintptr) bool               { return false }
func resetAfterFIN(uintptr) bool               { return false }
func unacknowledged(uintptr) int64             { return -1 }
