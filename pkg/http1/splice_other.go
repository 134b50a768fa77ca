//go:build !linux

package http1

import "errors"

const canSplice = false

func splice(_, _ *wire, _ int64, _ idleTimes) (int64, error, error) {
	return 0, errors.ErrUnsupported, nil
}
