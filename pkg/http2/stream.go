package http2

import (
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"
)

// stream is a request and its answer. It is used again for another one.
type stream struct {
	conn     *conn
	id       uint32
	tooLarge bool
	extended string // the protocol of an extended CONNECT, or empty
	req      http.Request
	blank    *http.Request // pristine, with ctx as its context
	ctx      *requestContext
	url      url.URL
	header   http.Header
	values   []string
	body     *body // nil without one
	response response

	// The connection's lock guards these.
	ended   bool // the client has ended it
	dead    error
	window  int64
	queued  bool // in conn.waiting
	sending bool // in waitToSend
	wake    sync.Cond
	writeBy *time.Timer
	readBy  *time.Timer
}

// streams are those that no request uses.
var streams = sync.Pool{New: func() any {
	st := &stream{header: make(http.Header, 16), values: make([]string, 0, 16)}
	st.response.header = make(http.Header, 16)
	st.response.st = st
	st.response.flushHook = st.response.FlushError
	return st
}}

// newStream readies one. The lock is held.
func newStream(c *conn, id uint32, end bool) *stream {
	st := streams.Get().(*stream)
	if st.ctx == nil {
		st.ctx = &requestContext{}
		st.blank = (&http.Request{}).WithContext(st.ctx)
	}
	st.conn, st.id, st.ended, st.window = c, id, end, c.initial
	st.wake.L = &c.mu
	st.ctx.begin(c.base)
	st.url = url.URL{}
	st.req = *st.blank
	r := &st.req
	r.Proto, r.ProtoMajor, r.Header, r.URL = "HTTP/2.0", 2, st.header, &st.url
	r.RemoteAddr, r.TLS, r.Body, r.ContentLength = c.remote, c.tls, http.NoBody, 0
	if !end {
		st.body = newBody(c, st)
		r.Body = st.body
		r.ContentLength = -1
	}
	st.response.begin()
	return st
}

// kill ends the stream for its handler. The lock is held.
func (st *stream) kill(err error) {
	if st.dead != nil {
		return
	}
	st.dead = err
	st.wake.Broadcast()
	if st.body != nil {
		st.body.fail(err)
	}
	st.ctx.cancel()
}

// serve runs the handler and ends the answer.
func (st *stream) serve() {
	c := st.conn
	if st.run() {
		st.response.finish()
	} else {
		st.abort(codeInternal, errStreamAborted)
	}
	c.mu.Lock()
	if st.dead == nil {
		if !st.ended { // the handler did not want the rest (RFC 9113 section 8.1)
			c.out = appendUint32Frame(c.out, frameReset, st.id, uint32(codeNo))
		}
		c.useful++
	}
	c.remove(st, !st.ended)
	if st.body != nil {
		st.body.detach()
	}
	c.running--
	quit := c.final && len(c.streams) == 0
	c.mu.Unlock()
	reusable := st.ctx.finish()
	st.stopTimers()
	st.recycle(reusable)
	c.mu.Lock()
	c.flush(true)
	c.mu.Unlock()
	if quit {
		c.flushAndWake()
	}
	c.handlers.Done()
}

// run calls the handler. False: it panicked.
func (st *stream) run() (sound bool) {
	defer func() {
		if sound {
			return
		}
		v := recover()
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			return
		}
		if tell := st.conn.server.PanicHandler; tell != nil {
			tell(&st.req, v, debug.Stack())
		}
	}()
	switch {
	case st.tooLarge:
		st.refuse(http.StatusRequestHeaderFieldsTooLarge, "head-too-large")
	case st.extended != "" && st.extended != "websocket": // RFC 9220 section 3
		st.refuse(http.StatusNotImplemented, "protocol")
	default:
		if patient := st.conn.server.Patient; patient != nil && st.body != nil {
			st.body.patient = patient(&st.req)
		}
		st.conn.server.Handler.ServeHTTP(&st.response, &st.req)
	}
	return true
}

func (st *stream) refuse(status int, reason string) {
	var text []byte
	if made := st.conn.server.ErrorHandler; made != nil {
		text = made(st.response.header, &st.req, status, reason)
	}
	st.response.WriteHeader(status)
	_, _ = st.response.Write(text)
}

// abort resets the stream, if it is still there, because of what we did.
func (st *stream) abort(code errCode, err error) {
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.dead != nil {
		return
	}
	c.out = appendUint32Frame(c.out, frameReset, st.id, uint32(code))
	c.resets++
	c.remove(st, true)
	st.kill(err)
}

func (st *stream) stopTimers() {
	for _, t := range []**time.Timer{&st.writeBy, &st.readBy} {
		if *t != nil {
			(*t).Stop()
			*t = nil
		}
	}
}

// recycle readies the stream for another request. One whose context somebody may still hold gets a new one.
func (st *stream) recycle(reusable bool) {
	if !reusable {
		st.ctx, st.blank = nil, nil
	}
	clear(st.header)
	clear(st.values)
	st.values = st.values[:0]
	st.req = http.Request{}
	st.body, st.dead, st.ended, st.queued, st.tooLarge, st.extended = nil, nil, false, false, false, ""
	st.response.end()
	if len(st.header) == 0 {
		streams.Put(st)
	}
}
