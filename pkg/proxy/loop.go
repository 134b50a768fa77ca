package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/usher-ingress/usher/pkg/pool"
)

// Requests that come back. An endpoint may lead here again: a Service with the address of a load balancer in front of Usher, a mirror,
// an application that calls itself. Without an end to that, one request becomes as many as there are files.
//
// Each request to an endpoint carries CDN-Loop (RFC 8586), in which Usher adds a name of its own and the backend that the request goes
// to:
//
//	CDN-Loop: usher-5f1c…9a;to=8c2e41d09b37a6f2
//
// A request that would go again to a backend where it has been, or that has passed maxPasses times, is answered 508. Only what this
// process wrote counts: the name is random, so nobody who has not seen it can write it, and who sees it at an endpoint and repeats it
// denies nothing but his own requests. Replicas do not know each other's names, so that a loop through n of them ends after n passes.

// loopField is the header field, as http.Header has it.
const loopField = "Cdn-Loop"

// maxPasses is how often a request may pass this replica on its way through different backends.
const maxPasses = 8

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

// comesBack reports whether the request has been where it is about to go, or has been here too often.
func (x *exchange) comesBack() bool {
	passes := 0
	for _, line := range x.passed {
		if strings.Contains(line, x.members.mark) {
			return true
		}
		passes += strings.Count(line, x.proxy.bindings.name)
	}
	return passes >= maxPasses
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
