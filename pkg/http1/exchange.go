package http1

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/usher-ingress/usher/pkg/sock"
)

// exchange is everything that a request needs and an idle connection does
// not: buffers, request, header maps, response writer. Connections take one
// when bytes arrive and give it back before they wait for the next request.
type exchange struct {
	conn   *serverConn
	limits *Limits
	in     inbuf

	// Reading the head: how far the buffer was looked at, whether an empty
	// line before it was dealt with, and the outcome if it is had already.
	scanned  int
	heldHead int64 // of Server.Heads, while the head arrives
	skipped  bool
	lined    bool // the request line was looked at on its own
	begun    bool
	headDone bool
	headErr  error

	req    http.Request
	blank  *http.Request // pristine, with ctx as its context
	url    url.URL
	head   requestHead
	fields fieldSet
	ctx    *requestContext

	body     bodyReader
	bounds   bodyLimits
	handle   *requestBody // what the handler has as Request.Body; nil without a body
	response response

	keepUnderscores bool
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// takeExchange gives c an exchange to read a request with.
func takeExchange(c *serverConn) *exchange {
	x := exchanges.Get().(*exchange)
	x.conn, x.limits = c, &c.server.limits
	if x.in.buf == nil {
		x.in.buf = headBuffers.Get().(*[headBuffer]byte)[:]
		x.body.trailers = x.trailer
		x.response.flushHook = x.response.flush
		x.response.header = make(http.Header, 8)
	}
	x.in.reset()
	x.begun, x.headDone = false, false
	x.body.wire, x.body.in = &c.wire, &x.in
	x.body.idle = c.server.timeouts.BodyIdle
	x.bounds = c.server.limits.body()
	x.body.limits = &x.bounds
	return x
}

// release gives the exchange back. Nobody may use it or what it handed out.
func (x *exchange) release() {
	x.conn, x.limits = nil, nil
	x.body.wire, x.body.in = nil, nil
	x.handle = nil
	if x.ctx != nil {
		x.ctx.parent.Store(nil)
	}
	x.req = http.Request{}
	x.head = requestHead{}
	x.in.shrink()
	x.response.release()
	exchanges.Put(x)
}

// prepare makes the parsed request ready for the handler.
func (x *exchange) prepare() {
	x.req.Body = http.NoBody
	x.body.start(x.head.framing, x.head.length)
	x.handle = nil
	if x.head.framing != noBody {
		x.handle = &requestBody{x: x}
		x.req.Body = x.handle
	}
	x.response.start(x)
}

// freshContext makes sure that there is a context for the next request.
func (x *exchange) freshContext() {
	if x.ctx == nil {
		x.ctx = &requestContext{}
		x.blank = (&http.Request{}).WithContext(x.ctx)
	}
	x.ctx.parent.Store(&x.conn.ctx)
}

// finish ends the request after the handler returned (ok) or panicked, and
// reports whether the connection can carry another one.
func (x *exchange) finish(ok bool) bool {
	if !ok && !x.response.abort() {
		x.detachBody()
		x.response.breakOff()
		return false
	}
	x.detachBody()
	again := x.response.finish()
	if x.response.err != nil {
		return false
	}
	unread := !x.drainBody()
	if again && !unread {
		return true
	}
	x.conn.lingers = unread || x.in.buffered() > 0 || x.conn.wire.state() == sock.Ready
	return false
}

// trailer receives one field of the request's trailer section.
func (x *exchange) trailer(name string, id fieldID, value string) {
	if id == idNone && !x.keepUnderscores && hasUnderscore(name) || x.req.Trailer == nil {
		return
	}
	x.req.Trailer[name] = append(x.req.Trailer[name], value)
}
