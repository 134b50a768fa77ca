//go:build !linux

package http1

import "errors"

const canSplice = false

type splicer struct{}

func newSplicer(_, _ *wire, _ idleTimes) *splicer { return nil }
func (*splicer) step(int64) (int64, error, error) { return 0, errors.ErrUnsupported, nil }
func (*splicer) finish()                          {}

func splice(_, _ *wire, _ int64, _ idleTimes) (int64, error, error) {
	return 0, errors.ErrUnsupported, nil
}
