//go:build !linux

package sock

import "errors"

// CanSplice reports whether there are pipes.
const CanSplice = false

// PipeSize is how many bytes a pipe holds at most.
const PipeSize = 0

// Pipe is not to be had.
type Pipe struct{}

// OpenPipe gives none.
func OpenPipe() *Pipe { return nil }

func (*Pipe) Fill(uintptr, int) error    { return errors.ErrUnsupported }
func (*Pipe) Empty(uintptr) (int, error) { return 0, errors.ErrUnsupported }
func (*Pipe) Held() int                  { return 0 }
func (*Pipe) Release()                   {}
