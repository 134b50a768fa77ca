package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"sync"

	"github.com/usher-ingress/usher/pkg/pool"
)

// The marks that decide.LoopField carries, and what takes their place for streams.

// newLoopName makes a name that nobody can guess. The token is one of RFC 8586's pseudonyms.
func newLoopName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "usher-" + hex.EncodeToString(b[:])
}

// loopMark is what requests to a backend carry.
func loopMark(name, backend string) string {
	return fmt.Sprintf("%s;to=%016x", name, pool.Hash(backend))
}

// ends are both ends of the streams in progress, of which this process has either or both. Bytes that are passed on as they are carry no
// mark; but where an address that is a client's here is also one that a stream to an endpoint was opened from, the two are one connection,
// and that endpoint is Usher. Each side enters its own before it looks for the other, so that one of them finds it.
type ends struct{ clients, opened sync.Map }

// takes enters a client until leave is called, and reports whether it is this process.
func (e *ends) takes(client net.Conn) (own bool, leave func()) {
	return meet(&e.clients, &e.opened, client.RemoteAddr())
}

// opens enters a connection to an endpoint until leave is called, and reports whether that is this process.
func (e *ends) opens(endpoint net.Conn) (own bool, leave func()) {
	return meet(&e.opened, &e.clients, endpoint.LocalAddr())
}

func meet(enter, others *sync.Map, addr net.Addr) (own bool, leave func()) {
	key := addr.String()
	enter.Store(key, nil)
	_, own = others.Load(key)
	return own, func() { enter.Delete(key) }
}
