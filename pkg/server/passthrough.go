package server

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Passthrough takes over TLS connections for some server names, which a client says in the first message of its handshake, the
// ClientHello. Where any is taken over, that message is looked at and left in the socket (see peek), so whoever gets the connection
// reads it from its first byte.
type Passthrough interface {
	// Passes reports whether any name is taken over now; without one no connection is looked at.
	Passes() bool
	// Pass serves a connection for a server name to its end, or returns false without having touched it.
	Pass(conn net.Conn, serverName string) bool
}

// maxHello bounds the ClientHello that is looked at. They are below 2 KiB, those with post-quantum keys included.
const maxHello = 32 << 10

var (
	hellos      = sync.Pool{New: func() any { return new([maxHello]byte) }}
	errNotHello = errors.New("not a ClientHello")
	errSeen     = errors.New("the server name is known")
)

// pass gives a connection to Passthrough if it is for that. done is true if it was, or if nothing can come of the connection. What is
// no ClientHello is left to the handshake, which has an answer for it.
func (s *Server) pass(socket *net.TCPConn, conn net.Conn, begun func()) (done bool) {
	if s.options.Passthrough == nil || !s.options.Passthrough.Passes() {
		return false
	}
	_ = socket.SetReadDeadline(time.Now().Add(s.limits.Handshake))
	name, err := peekServerName(socket)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		s.observer.HandshakeDone(cause(err))
		return true
	}
	if err != nil || name == "" {
		return false
	}
	_ = socket.SetReadDeadline(time.Time{})
	begun()
	return s.options.Passthrough.Pass(conn, name)
}

// peekServerName waits for a whole ClientHello, however it is cut into records and segments, and returns the name in it.
func peekServerName(socket *net.TCPConn) (string, error) {
	buffer := hellos.Get().(*[maxHello]byte)
	defer hellos.Put(buffer)
	length := 0
	_, err := peek(socket, buffer[:], func(seen []byte) (bool, error) {
		var err error
		length, err = helloLength(seen)
		return length > 0, err
	})
	if err != nil {
		return "", err
	}
	return serverName(buffer[:length])
}

const (
	recordHead    = 5
	handshakeHead = 4
	typeHandshake = 22
	typeHello     = 1
)

// helloLength tells how many bytes the records take that hold the ClientHello at the start of seen; 0 while some are missing. A message
// may be spread over records of any size (RFC 8446 section 5.1).
func helloLength(seen []byte) (int, error) {
	var message, want int // bytes of the message there, and of the whole of it
	var head [handshakeHead]byte
	for at := 0; ; {
		if len(seen) > at && seen[at] != typeHandshake {
			return 0, errNotHello
		}
		if len(seen) < at+recordHead {
			return 0, nil
		}
		size := int(binary.BigEndian.Uint16(seen[at+3:]))
		if size == 0 || size > 1<<14 || seen[at+1] != 3 {
			return 0, errNotHello
		}
		body := seen[at+recordHead : min(len(seen), at+recordHead+size)]
		if message < handshakeHead {
			copy(head[message:], body)
		}
		if message += len(body); message > 0 && head[0] != typeHello {
			return 0, errNotHello
		}
		if message >= handshakeHead {
			want = handshakeHead + int(head[1])<<16 + int(head[2])<<8 + int(head[3])
		}
		if at += recordHead + size; at > len(seen) {
			return 0, nil
		}
		if want > 0 && message >= want {
			return at, nil
		}
	}
}

// serverName lets crypto/tls read a whole ClientHello, so that what is looked for is what TLS would have found.
func serverName(hello []byte) (string, error) {
	var name string
	config := &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		name = info.ServerName
		return nil, errSeen
	}}
	err := tls.Server(&recording{Reader: bytes.NewReader(hello)}, config).Handshake()
	if errors.Is(err, errSeen) {
		return name, nil
	}
	return "", errors.Join(errNotHello, err)
}

// recording is a connection that was recorded: it says what was said, and hears nothing.
type recording struct {
	net.Conn // nil: nothing else is called
	io.Reader
}

// Read implements net.Conn.
func (r *recording) Read(p []byte) (int, error) { return r.Reader.Read(p) }

// Write implements net.Conn.
func (r *recording) Write(p []byte) (int, error) { return len(p), nil }
