//go:build !linux

package sock

import (
	"net"
	"syscall"
)

// Elsewhere than on Linux everything works through net.Conn alone: idle
// connections keep a little more memory, a dead upstream connection is found
// by using it, and nothing is spliced.

// State is what a look at a socket shows.
type State int

// The states.
const (
	Quiet State = iota
	Ready
	Gone
)

// Raw is nil: there is no raw access.
func Raw(net.Conn) syscall.RawConn { return nil }

// Read fails.
func Read(uintptr, []byte) (int, error) { return 0, syscall.EINVAL }

// Write fails.
func Write(uintptr, []byte) (int, error) { return 0, syscall.EINVAL }

// WouldBlock is false.
func WouldBlock(error) bool { return false }

// Shutdown does nothing.
func Shutdown(uintptr) {}

// Look sees nothing.
func Look(uintptr) State { return Quiet }

// FINReceived is not known.
func FINReceived(uintptr) bool { return false }

// ResetReceived is not known.
func ResetReceived(uintptr) bool { return false }

// ResetAfterFIN is not known.
func ResetAfterFIN(uintptr) bool { return false }

// Unacknowledged is not known.
func Unacknowledged(uintptr) int64 { return -1 }
