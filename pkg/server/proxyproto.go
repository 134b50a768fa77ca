package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// A load balancer that works below HTTP tells the client's address in a PROXY protocol header, the first bytes of a connection:
//
//	PROXY TCP4 192.0.2.7 203.0.113.1 51234 443\r\n          version 1, a line
//	\r\n\r\n\0\r\nQUIT\n 21 11 000c ...                     version 2, binary, with type-length-value fields that are skipped
//
// Options.ProxyProtocol says from which peers one is expected. There it must come, since a peer that may leave it out could also be
// made to pass on what a client wrote; a connection without one is closed. Elsewhere nobody looks for one, so what an untrusted peer
// sends is read as HTTP or TLS, and refused as such (see proxyHeader in handshake.go, and http1's reason of that name).
//
// The header is looked at before it is read (see peek), so exactly its bytes are taken out of the socket.

// What became of a header, as the Observer is told.
const (
	headerOK        = "ok"
	headerLocal     = "local" // no address in it: health checks of the balancer itself, UNIX sockets
	headerMissing   = "missing"
	headerMalformed = "malformed"
	headerTimeout   = "timeout"
	headerLeft      = "client-left"
	headerUntrusted = "untrusted" // at a TCP service that wants one; elsewhere nobody looks
)

var (
	errNoHeader  = errors.New("no PROXY protocol header")
	errBadHeader = errors.New("malformed PROXY protocol header")
)

// maxProxyHeader bounds version 2, whose length field would allow 64 KiB; nginx has the same bound.
const maxProxyHeader = 16 + 4096

// maxProxyLine is the longest line of version 1, by its specification.
const maxProxyLine = 107

var proxyHeaders = sync.Pool{New: func() any { return new([maxProxyHeader]byte) }}

// introduce finds out who is at the other end. It returns conn itself, or with the addresses that a PROXY header tells; false says
// that conn is of no use.
func (s *Server) introduce(conn *net.TCPConn) (net.Conn, bool) {
	if s.options.ProxyProtocol == nil {
		return conn, true
	}
	return s.introduced(conn, s.options.ProxyProtocol(peerOf(conn)))
}

// introduced waits for the header for so long, if at all.
func (s *Server) introduced(conn *net.TCPConn, wait time.Duration) (net.Conn, bool) {
	if wait <= 0 {
		return conn, true
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	header, err := readProxyHeader(conn)
	_ = conn.SetReadDeadline(time.Time{})
	if err != nil {
		s.observer.ProxyHeader(headerFault(err))
		return nil, false
	}
	source, destination, ok := header.TCPAddrs()
	if !ok || header.Command.IsLocal() {
		s.observer.ProxyHeader(headerLocal)
		return conn, true
	}
	s.observer.ProxyHeader(headerOK)
	return &introducedConn{socketConn: conn, remote: source, local: destination}, true
}

func headerFault(err error) string {
	switch {
	case errors.Is(err, errNoHeader):
		return headerMissing
	case errors.Is(err, os.ErrDeadlineExceeded):
		return headerTimeout
	case errors.Is(err, errBadHeader):
		return headerMalformed
	}
	return headerLeft
}

// peerOf is the address at the other end of the socket.
func peerOf(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// readProxyHeader takes a header, and nothing after it, out of the socket.
func readProxyHeader(conn *net.TCPConn) (*proxyproto.Header, error) {
	buffer := proxyHeaders.Get().(*[maxProxyHeader]byte)
	defer proxyHeaders.Put(buffer)
	length := 0
	_, err := peek(conn, buffer[:], func(seen []byte) (bool, error) {
		var err error
		length, err = proxyHeaderLength(seen)
		return length > 0 && len(seen) >= length, err
	})
	if errors.Is(err, io.ErrShortBuffer) {
		err = errBadHeader
	}
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, buffer[:length]); err != nil {
		return nil, err
	}
	return parseProxyHeader(buffer[:length])
}

// proxyHeaderLength tells how long the header at the start of seen is; 0 while too little of it is there to know.
func proxyHeaderLength(seen []byte) (int, error) {
	switch v1, v2 := proxyproto.SIGV1, proxyproto.SIGV2; {
	case startsAs(seen, v1):
		return proxyLineLength(seen)
	case !startsAs(seen, v2):
		return 0, errNoHeader
	case len(seen) < 16:
		return 0, nil
	}
	length := 16 + int(binary.BigEndian.Uint16(seen[14:]))
	if length > maxProxyHeader {
		return 0, errBadHeader
	}
	return length, nil
}

func proxyLineLength(seen []byte) (int, error) {
	if i := bytes.IndexByte(seen, '\n'); i >= 0 && i < maxProxyLine {
		return i + 1, nil
	}
	if len(seen) >= maxProxyLine {
		return 0, errBadHeader
	}
	return 0, nil
}

// startsAs reports whether seen begins as signature does, as far as it goes.
func startsAs(seen, signature []byte) bool {
	n := min(len(seen), len(signature))
	return bytes.Equal(seen[:n], signature[:n])
}

// parseProxyHeader reads a whole header. Version 2 may say that a connection is proxied and not from where (UNSPEC), which leaves it
// to the receiver whether to take it; as haproxy does, we do, under the peer's own address.
func parseProxyHeader(header []byte) (*proxyproto.Header, error) {
	if startsAs(header, proxyproto.SIGV2) && header[12] == byte(proxyproto.PROXY) && header[13] == byte(proxyproto.UNSPEC) {
		return &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL}, nil
	}
	parsed, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return nil, errors.Join(errBadHeader, err)
	}
	return parsed, nil
}

// introducedConn is a connection under the addresses that a PROXY header tells. It leaves the bytes alone: TCPConn is how http1 finds the
// socket, which it then uses directly.
type introducedConn struct {
	socketConn
	remote net.Addr
	local  net.Addr
}

// socketConn has another name than the method that returns it.
type socketConn = *net.TCPConn

// TCPConn returns the socket.
func (c *introducedConn) TCPConn() *net.TCPConn { return c.socketConn }

// RemoteAddr is the client's address.
func (c *introducedConn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is the address the client connected to.
func (c *introducedConn) LocalAddr() net.Addr { return c.local }
