// Package http2 serves HTTP/2 (RFC 9113) on connections it is given, at nginx's
// cost per request, and calls an ordinary [http.Handler].
//
//   - One goroutine reads a connection: it parses frames where they lie in its
//     buffer, decodes field sections, and hands a request to a worker.
//   - Workers are goroutines that serve one stream after another, so that their
//     stacks stay grown. Parked ones are shared by all connections of a Server.
//   - Whoever has bytes to send appends them to the connection's buffer under
//     its lock. The first one to do so lets the others that are ready go
//     first, then writes everything at once: one TLS record and one system
//     call for the answers of many streams. See write.go.
//   - Field sections are encoded without a dynamic table, as nginx does, hence
//     outside the lock and in any order.
//
// # What may be kept
//
// As in package http1: the Request, its URL, Header and Trailer and the
// ResponseWriter are valid until ServeHTTP returns, and serve another request
// afterwards. Strings may be kept.
//
// # WebSockets
//
// Extended CONNECT (RFC 8441) is offered. A handler sees it as the GET with
// Upgrade that it would be in HTTP/1.1, and accepts it with the method Tunnel
// of its ResponseWriter.
//
// # What is refused
//
// Every MUST of RFC 9113 about what a client sends is held, with the stream or
// connection error that it names. What a client may make us do without asking
// for anything useful (resets, pings, settings, empty frames) is counted, and
// too much of it ends the connection with ENHANCE_YOUR_CALM, see floodlimit.go.
// A handler whose stream was reset counts as a stream until it returns.
//
// # Where to look
//
//	server.go conn.go   a Server, one connection's life
//	frame.go receive.go settings.go  frames in
//	fields.go request.go  a field section -> http.Request
//	stream.go worker.go   what serves a request
//	body.go             DATA in -> io.Reader
//	response.go copy.go encode.go  http.ResponseWriter -> HEADERS and DATA
//	tunnel.go           extended CONNECT: a stream as a connection
//	write.go            flow control, and bytes out
package http2
