//go:build !unix

package server

import (
	"errors"
	"net"
)

// peek is not to be had here: PROXY protocol and TLS passthrough need a Unix.
func peek(*net.TCPConn, []byte, func([]byte) (bool, error)) (int, error) {
	return 0, errors.ErrUnsupported
}
