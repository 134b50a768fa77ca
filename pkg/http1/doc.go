// Package http1 speaks HTTP/1.1 on the wire: a server loop and a connection
// pool, for a reverse proxy that wants the standard library's types and
// nginx's cost per request.
//
// The seams are net/http's: a [Server] calls an [http.Handler], a [Transport]
// is an [http.RoundTripper]. Nothing of net/http's own server or transport is
// used, so that
//
//   - one goroutine serves a connection, and the same goroutine writes the
//     upstream request and reads its response: no channels, no reader and
//     writer goroutines (one exception: a request body too large for the
//     write buffer, see [Transport.RoundTrip]);
//   - request, header map, response and buffers are reused, and an idle
//     connection holds none of them;
//   - a head costs one string, of which every value is a substring;
//   - head and first body bytes leave in one write, and large bodies between
//     two plain sockets never enter the process (splice).
//
// # What may be kept
//
// Everything handed to a Handler (the Request, its URL, Header and Trailer)
// is valid until ServeHTTP returns, and everything RoundTrip returns until
// the response's Body is closed. Strings may be kept. A Body must be closed
// even when it is empty.
//
// # What is refused
//
// Two parsers that disagree about where a message ends are request smuggling,
// so there is one reading of a message or none: the rules of RFC 9110 and
// RFC 9112 without the leniency they permit. Whatever is doubtful is answered
// with a [ProtocolError]'s status, the connection closes, and nothing more is
// read from it as a request. The upstream request is always written anew from
// the parsed form; no byte passes that was not understood.
//
// # Where to look
//
//	server.go conn.go      listeners, one connection's life
//	idle.go watch.go       waiting without buffers; noticing that a client left
//	head.go request.go     a head in bytes -> http.Request
//	body.go chunked.go     a body in bytes -> io.Reader, both directions
//	response.go            http.ResponseWriter
//	transport.go pool.go   RoundTrip, connections kept
//	outgoing.go incoming.go  http.Request -> bytes, bytes -> http.Response
//	tunnel.go relay.go     bytes through the kernel
//	splice.go, package sock  sockets, also below TLS
package http1
