package proxy

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so; nothing depends on its strength
	"encoding/base64"
	"net"
	"net/http"
)

// A WebSocket over HTTP/2 (RFC 8441) is one stream. Package http2 shows its request as HTTP/1.1 would have it, and so it goes to the
// endpoint. What HTTP/2 does not have is the exchange of key and proof by which the two ends of HTTP/1.1 make sure that the other one
// knows what a WebSocket is (RFC 6455 section 4): towards the endpoint that is ours to do.

const (
	keyField    = "Sec-Websocket-Key" // in Go's canonical form
	acceptField = "Sec-Websocket-Accept"
)

// askExtended completes the request for a WebSocket of an HTTP/2 client.
func (x *exchange) askExtended(h http.Header) {
	if x.r.ProtoMajor == 1 {
		return
	}
	var key [16]byte
	_, _ = rand.Read(key[:])
	x.key = base64.StdEncoding.EncodeToString(key[:])
	delete(h, keyField)
	x.say("Sec-WebSocket-Key", x.key)
}

// acceptsKey reports whether the endpoint has proved that it has read our key.
func (x *exchange) acceptsKey() bool {
	sum := sha1.Sum([]byte(x.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	return x.key != "" && first(x.response.Header[acceptField]) == base64.StdEncoding.EncodeToString(sum[:])
}

// tunneler is the ResponseWriter of package http2.
type tunneler interface {
	headWriter
	Tunnel() (net.Conn, error)
}

// acceptExtended tells the client that its WebSocket is open, and takes the stream.
func (x *exchange) acceptExtended() (net.Conn, []byte, error) {
	w, ok := x.w.(tunneler)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	h, fields := x.w.Header(), x.response.Header
	x.keepEndToEnd(h)
	delete(fields, acceptField)
	delete(fields, "Content-Length")
	x.ownFields(h)
	for name := range h {
		delete(fields, name)
	}
	x.record.Status = http.StatusOK
	x.begun = true
	w.WriteHeaderWith(http.StatusOK, fields)
	conn, err := w.Tunnel()
	x.hijacked = err == nil
	return conn, nil, err
}
