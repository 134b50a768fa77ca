//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// Echo is what a backend answers: the request as it arrived there.
type Echo struct {
	Backend string      // name of the backend
	Method  string      // GET
	Host    string      // shop.example
	Path    string      // /a%20b?c=d, as on the wire
	Proto   string      // HTTP/1.1
	Header  http.Header // without Host
	Body    string      // its first MiB
}

// Backend is an HTTP server that stands for a Pod.
type Backend struct {
	name     string
	listener net.Listener
	server   *http.Server
	requests atomic.Int64
}

// StartBackend serves HTTP/1.1 and HTTP/2 without TLS on address, an
// "IP:port" of [PodRange]. A nil handler answers each request with an [Echo] as
// JSON. The caller ends it with [Backend.Close].
func StartBackend(name, address string, handler http.Handler) (*Backend, error) {
	config := net.ListenConfig{Control: freebind}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	b := &Backend{name: name, listener: listener}
	if handler == nil {
		handler = http.HandlerFunc(b.echo)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	b.server = &http.Server{Handler: b.count(handler), Protocols: protocols, ReadHeaderTimeout: time.Minute}
	go b.server.Serve(listener) //nolint:errcheck // Close ends it
	return b, nil
}

// Address is where the backend listens.
func (b *Backend) Address() netip.AddrPort { return b.listener.Addr().(*net.TCPAddr).AddrPort() }

// Requests is how many requests have arrived so far.
func (b *Backend) Requests() int64 { return b.requests.Load() }

// Close ends the backend and its connections.
func (b *Backend) Close() { _ = b.server.Close() }

// freebind lets a socket listen on an address of a range that is local by its
// route only: IPv4 allows that as it is, IPv6 does not.
func freebind(_, _ string, socket syscall.RawConn) (err error) {
	controlled := socket.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, syscall.IP_FREEBIND, 1)
	})
	return errors.Join(controlled, err)
}

func (b *Backend) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.requests.Add(1)
		next.ServeHTTP(w, r)
	})
}

func (b *Backend) echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // of one that is broken off, what there is
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Echo{ // a client that has gone is its own affair
		Backend: b.name, Method: r.Method, Host: r.Host, Path: r.RequestURI, Proto: r.Proto, Header: r.Header, Body: string(body),
	})
}
