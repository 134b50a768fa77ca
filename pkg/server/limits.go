package server

import "time"

// Limits bound what a client may send and how long it may take. A zero field has its default.
type Limits struct {
	HeadBytes int // a request's head, and the list of fields in HTTP/2; 64 KiB; above: 431
	// HeadsBytes is what heads that are still arriving may hold in all, beyond 8 KiB each; 64 MiB. While it is used up, a head that is
	// longer and does not come whole is answered 431.
	HeadsBytes int

	Handshake time.Duration // from accepting to the end of the TLS handshake; 10 s
	FirstByte time.Duration // from there to the first byte of a request; 30 s
	Head      time.Duration // from there to the end of the head; 30 s; then 408
	BodyIdle  time.Duration // between two reads of a request body; 60 s; then 408
	WriteIdle time.Duration // without progress in writing an answer; 60 s
	KeepAlive time.Duration // between two requests; 75 s, as nginx has it

	// KeepAliveRequests is how many requests an HTTP/1.1 connection may carry; 1000, as nginx has it. HTTP/2 connections are not
	// bounded in number of requests, since ending one takes all of a busy client's streams with it.
	KeepAliveRequests int
	// Streams is how many requests an HTTP/2 connection may have in flight; 128, as nginx has it.
	Streams int
	// Connections is how many may be open at a time, of all listeners together; a third of the open files that the process may have,
	// at most 65,536. See connectionlimit.go.
	Connections int
}

func (l Limits) withDefaults() Limits {
	or(&l.HeadBytes, 64<<10)
	or(&l.HeadsBytes, 64<<20)
	or(&l.Handshake, 10*time.Second)
	or(&l.FirstByte, 30*time.Second)
	or(&l.Head, 30*time.Second)
	or(&l.BodyIdle, 60*time.Second)
	or(&l.WriteIdle, 60*time.Second)
	or(&l.KeepAlive, 75*time.Second)
	or(&l.KeepAliveRequests, 1000)
	or(&l.Streams, 128)
	or(&l.Connections, defaultConnections())
	return l
}

func or[T int | time.Duration](value *T, standard T) {
	if *value <= 0 {
		*value = standard
	}
}
