package http1

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// clientExchange is what one request and its response need of a Transport.
// It is taken from a pool by RoundTrip and goes back when the response's Body
// is closed.
type clientExchange struct {
	t        *Transport
	req      *http.Request
	call     *Call
	timeouts Timeouts

	connMu sync.Mutex    // orders finish and an interruption by Body.Close
	conn   *upstreamConn // nil before it is had and after it was given back
	begun  int64         // when it was had
	reused bool

	out          []byte // the head, and the body if it is short
	length       int64  // of the request body; -1 chunked, 0 none
	withBody     bool
	bodyIncluded bool
	upgrade      bool // the request asks for one
	expect       bool // the request carries Expect
	sender       *sender
	sayFn        func() error
	unsaid       error // why the request could not be written
	said         int64 // bytes of out that were written, but for those of a sender
	before       int64 // bytes that TLS had written to the connection before the request
	sent         bool
	received     bool

	in     inbuf
	head   responseHead
	res    *http.Response // within an answer
	fields fieldSet
	body   bodyReader

	own  *requestContext // where conn is registered for cancellation
	stop func() bool     // or how to end the registration elsewhere
}

var clientExchanges = sync.Pool{New: func() any { return new(clientExchange) }}

func takeClientExchange(t *Transport, req *http.Request, call *Call) *clientExchange {
	x := clientExchanges.Get().(*clientExchange)
	x.t, x.req, x.call = t, req, call
	x.withBody = req.Body != nil && req.Body != http.NoBody
	x.timeouts = t.timeouts
	if call != nil {
		x.timeouts = call.Timeouts.or(t.timeouts)
	}
	if x.in.buf == nil {
		x.in.buf = headBuffers.Get().(*[headBuffer]byte)[:]
		x.out = headBuffers.Get().(*[headBuffer]byte)[:0]
		x.body.trailers = x.trailer
		x.sayFn = x.say
	}
	x.in.reset()
	x.length, x.bodyIncluded, x.upgrade, x.expect = 0, false, false, false
	x.sent, x.received, x.reused, x.unsaid = false, false, false, nil
	x.said, x.before = 0, 0
	return x
}

// release gives the exchange back, unless a sender still uses it.
func (x *clientExchange) release() {
	x.res = nil // it is the caller's now
	if x.sender != nil && !x.sender.finished() {
		return
	}
	x.t, x.req, x.call, x.sender = nil, nil, nil, nil
	x.own, x.stop = nil, nil
	x.body.wire, x.body.in = nil, nil
	x.in.shrink()
	if cap(x.out) > 2*headBuffer {
		x.out = headBuffers.Get().(*[headBuffer]byte)[:0]
	}
	clientExchanges.Put(x)
}

// fail ends the exchange without a response.
func (x *clientExchange) fail(op string, err error) error {
	unread, ctxErr := x.unread(err), x.req.Context().Err()
	if s := x.sender; s != nil {
		if sop, serr := s.failure(); serr != nil {
			op, err = sop, serr
		}
	} else if x.req.Body != nil {
		_ = x.req.Body.Close()
	}
	if ctxErr != nil && (errors.Is(err, errInterrupted) || errors.Is(err, ctxErr)) {
		op, err = "canceled", ctxErr
	}
	if x.reused && !x.received && op != "canceled" && !isTimeout(err) {
		x.t.suspect.Store(now() + suspicion)
		x.t.seen.closed(x.conn.taken-x.conn.idleFrom, now())
	}
	e := &Error{Op: op, Sent: x.sent, Received: x.received, Reused: x.reused, Unread: unread, Err: err}
	x.finish(!x.sent && x.unsaid == nil)
	x.release()
	return e
}

// bind lets the end of the request's context interrupt the connection.
func (x *clientExchange) bind() error {
	ctx := x.req.Context()
	if own, ok := ctx.(*requestContext); ok {
		used, err := own.use(&x.conn.wire)
		if err != nil {
			return err
		}
		if used {
			x.own = own
			return nil
		}
	}
	if ctx.Done() == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	x.stop = context.AfterFunc(ctx, x.conn.wire.interrupt)
	return nil
}

// unbind ends that. False: the connection was or will be interrupted.
func (x *clientExchange) unbind() bool {
	if x.own != nil {
		x.own.unuse(&x.conn.wire)
		x.own = nil
	}
	if x.stop != nil {
		stop := x.stop
		x.stop = nil
		if !stop() {
			return false
		}
	}
	return !x.conn.wire.stop.Load()
}

// finish lets go of the connection: kept if clean, else closed. It does
// nothing the second time.
func (x *clientExchange) finish(clean bool) {
	x.connMu.Lock()
	conn := x.conn
	if conn == nil {
		x.connMu.Unlock()
		return
	}
	clean = x.unbind() && clean
	x.conn = nil
	x.connMu.Unlock()
	if clean && x.in.buffered() > 0 {
		x.t.suspect.Store(now() + suspicion)
		clean = false
	}
	if clean && x.senderDone() {
		x.t.put(conn)
		return
	}
	conn.close()
}

// interrupt wakes whoever reads the response.
func (x *clientExchange) interrupt() {
	x.connMu.Lock()
	if x.conn != nil {
		x.conn.wire.interrupt()
	}
	x.connMu.Unlock()
}

// senderGrace is how long the end of a response waits for the end of its
// request: the upstream may have answered to the last byte before the sender
// noticed that it had written it.
const senderGrace = 50 * time.Millisecond

func (x *clientExchange) senderDone() bool {
	return x.senderOver() && (x.sender == nil || x.sender.err == nil)
}

// senderOver waits for the end of the sender, good or bad.
func (x *clientExchange) senderOver() bool {
	s := x.sender
	if s == nil || s.finished() {
		return true
	}
	timer := time.NewTimer(senderGrace)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
		return false
	}
}

// roundTrip sends the request on conn and reads the response's head.
func (x *clientExchange) roundTrip(conn *upstreamConn) (*http.Response, error) {
	x.conn, x.reused = conn, conn.served > 0
	x.body.wire, x.body.in, x.body.idle = &conn.wire, &x.in, x.timeouts.ReadIdle
	x.body.limits = &x.t.bounds
	if below := conn.wire.below; below != nil {
		x.before = below.Written()
	}
	if err := x.bind(); err != nil {
		return nil, x.fail("canceled", err)
	}
	x.begun = conn.taken
	if x.hasBody() {
		if err := x.includeBody(); err != nil {
			return nil, x.fail("request body", err)
		}
		x.begun = now()
	}
	if err := x.sendRequest(); err != nil {
		return nil, err
	}
	if err := x.readHead(); err != nil {
		return nil, err
	}
	if x.meantForNobody() {
		x.received = false
		return nil, x.fail("read head", errTimedOutIdle)
	}
	return x.respond(), nil
}

// meantForNobody recognises what some servers say before they close a kept
// connection: a 408 that answers no request. It counts as a connection found
// closed, for a request that may be repeated (RFC 9110 section 15.5.9), and for
// any of which nothing had come when it was said. To another request it is the
// answer.
func (x *clientExchange) meantForNobody() bool {
	return x.reused && x.sender == nil && x.head.status == http.StatusRequestTimeout && x.head.close &&
		(x.repeatable() || x.unacknowledged())
}

// sendRequest writes the request, or lets a sender do it.
func (x *clientExchange) sendRequest() error {
	if x.hasBody() && !x.bodyIncluded && !x.expect {
		x.startSender(x.out)
		return nil
	}
	n, err := x.conn.wire.ask(x.sayFn, x.in.space(), x.begun, x.headLimit(x.begun))
	x.in.filled(n)
	x.received = n > 0
	switch {
	case n > 0 || err == nil:
		return nil
	case x.unsaid != nil && x.sent && x.answeredEarly():
		return nil
	case x.unsaid != nil:
		return x.fail("write", err)
	case isTimeout(err) && x.expect:
		x.mayContinue()
		return nil
	}
	return x.headError(err)
}

// say writes the request.
func (x *clientExchange) say() error {
	n, err := x.conn.wire.write(x.out, x.timeouts.WriteIdle)
	x.said = int64(n)
	x.sent = x.wrote() > 0
	if x.unsaid = err; err == nil {
		x.closeBody()
	}
	return err
}

// answeredEarly reports whether bytes of a response are waiting although the
// request could not be written: the upstream refused it and closed.
func (x *clientExchange) answeredEarly() bool {
	return x.conn.wire.state() == sock.Ready
}

// closeBody closes a body that was sent; one that waits for 100 stays open.
func (x *clientExchange) closeBody() {
	if x.req.Body != nil && (x.bodyIncluded || !x.hasBody()) {
		_ = x.req.Body.Close()
	}
}

// respond returns the response whose head was parsed.
func (x *clientExchange) respond() *http.Response {
	x.conn.served++
	x.conn.unsure = x.body.framing == noBody || x.body.framing == byLength && x.body.left > int64(x.in.buffered())
	res := x.res
	if x.head.status == http.StatusSwitchingProtocols {
		res.Body = x.takeUpgraded()
	} else if x.body.done() {
		x.finish(!x.head.close)
	}
	return res
}

// trailer receives one field of the response's trailer section.
func (x *clientExchange) trailer(name string, _ fieldID, value string) {
	if x.res.Trailer == nil {
		x.res.Trailer = make(http.Header)
	}
	x.res.Trailer[name] = append(x.res.Trailer[name], value)
}
