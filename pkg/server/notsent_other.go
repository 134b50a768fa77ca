//go:build !linux

package server

import "net"

func limitNotSent(*net.TCPConn) {}
