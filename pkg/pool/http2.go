package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/usher-ingress/usher/pkg/http1"
)

// h2 speaks HTTP/2 to one endpoint, by way of the standard library, with the time limits and the errors of package http1.
//
// The library may hold a request after it answered for it, so it gets a copy.
type h2 struct {
	transport *http.Transport
	closed    atomic.Bool
}

// The library's limits of one connection.
const (
	pingAfter    = 30 * time.Second // of silence on a connection that is in use
	pingTimeout  = 15 * time.Second
	writeTimeout = 60 * time.Second
	maxHead      = 256 << 10
)

func newHTTP2(dial func(context.Context) (net.Conn, error), o Options) *h2 {
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if limit, ok := ctx.Value(connectKey{}).(time.Duration); ok && limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		conn, err := dial(ctx)
		if err != nil {
			return nil, &dialError{err}
		}
		return newLengthReader(conn), nil
	}
	idle := o.IdleTimeout
	if idle == 0 {
		idle = time.Minute
	}
	t := &http.Transport{
		DialContext: connect, DialTLSContext: connect, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		DisableCompression: true, IdleConnTimeout: idle, MaxResponseHeaderBytes: maxHead, Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout,
			MaxReadFrameSize: maxFrame},
	}
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return &h2{transport: t}
}

type connectKey struct{}

// dialError marks an error of connecting.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Close implements transport.
func (t *h2) Close() error {
	t.closed.Store(true)
	t.transport.CloseIdleConnections()
	return nil
}

// RoundTripWith implements transport.
func (t *h2) RoundTripWith(req *http.Request, call *Call) (*http.Response, error) {
	limits := limitsOf(call)
	x := &stream{parent: req.Context(), transport: t, call: call, idle: limits.FirstByte}
	ctx, cancel := context.WithCancelCause(context.WithValue(req.Context(), connectKey{}, limits.Connect))
	x.cancel = cancel
	x.start()
	response, err := t.transport.RoundTrip(x.copyOf(httptrace.WithClientTrace(ctx, x.trace()), req))
	x.settle()
	if err != nil {
		x.stop()
		return nil, x.failure("read head", err)
	}
	x.received.Store(true)
	if err := checkResponse(response); err != nil {
		_ = response.Body.Close()
		x.stop()
		return nil, &http1.Error{Op: "malformed", Sent: true, Received: true, Reused: x.reused.Load(), Err: err}
	}
	x.begin(response.Body, limits.ReadIdle)
	response.Body = &streamBody{ReadCloser: response.Body, x: x}
	return response, nil
}

// checkResponse refuses what the library lets through and package http1 would not.
func checkResponse(r *http.Response) error {
	if status, _, _ := strings.Cut(r.Status, " "); len(status) != 3 || r.StatusCode < 200 || r.StatusCode > 599 {
		return fmt.Errorf(":status %.40q", status)
	}
	lengths := r.Header["Content-Length"]
	if r.Header[badLengths] != nil {
		return errors.New("Content-Length is no number, or several that differ")
	}
	if len(lengths) > 1 {
		r.Header["Content-Length"] = lengths[:1]
	}
	return nil
}

// refusedByLibrary recognises by its words, as it has no type, what the library says of a head that is none.
func refusedByLibrary(err error) bool {
	return strings.Contains(err.Error(), "malformed response from server") || strings.Contains(err.Error(), "response with END_STREAM flag")
}

func limitsOf(call *Call) Timeouts {
	limits := Timeouts{Connect: 5 * time.Second, FirstByte: time.Minute, ReadIdle: time.Minute}
	if call == nil {
		return limits
	}
	for _, l := range []struct{ to, from *time.Duration }{
		{&limits.Connect, &call.Timeouts.Connect}, {&limits.FirstByte, &call.Timeouts.FirstByte}, {&limits.ReadIdle, &call.Timeouts.ReadIdle},
	} {
		if *l.from != 0 {
			*l.to = *l.from
		}
	}
	return limits
}

// stream is one request and its response. A silence longer than idle in both directions ends it.
type stream struct {
	parent    context.Context
	cancel    context.CancelCauseFunc
	transport *h2
	call      *Call

	sent, received, timedOut, reused atomic.Bool
	reading                          atomic.Bool // the request's body
	conn                             atomic.Pointer[net.Conn]

	idle   time.Duration // under mu
	active atomic.Int64  // when something last moved, in nanoseconds since began
	began  time.Time
	timer  *time.Timer

	mu      sync.Mutex
	interim int   // how many 1xx responses came
	flaw    error // what is wrong with them
	settled bool  // the final response has begun: no interim one may be passed on any more
	body    io.Closer
}

func (x *stream) start() {
	x.began = time.Now()
	x.timer = time.AfterFunc(time.Hour, x.check)
	x.setIdle(x.idle)
}

func (x *stream) touch() { x.active.Store(int64(time.Since(x.began))) }

func (x *stream) setIdle(idle time.Duration) {
	x.touch()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.idle = idle; idle > 0 {
		x.timer.Reset(idle)
	} else {
		x.timer.Stop()
	}
}

// check runs when the timer fires.
func (x *stream) check() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if left := x.idle - (time.Since(x.began) - time.Duration(x.active.Load())); left > 0 {
		x.timer.Reset(left)
		return
	}
	x.timedOut.Store(true)
	x.cancel(os.ErrDeadlineExceeded)
	if x.body != nil {
		// While the library waits for more of the request it does not look at the context, and a read of the response would go on.
		_ = x.body.Close()
	}
}

func (x *stream) stop() {
	x.timer.Stop()
	x.cancel(nil)
	if x.transport.closed.Load() {
		x.transport.transport.CloseIdleConnections()
	}
}

// begin goes from waiting for the response to reading its body.
func (x *stream) begin(body io.Closer, idle time.Duration) {
	x.mu.Lock()
	x.body = body
	x.mu.Unlock()
	x.setIdle(idle)
}

func (x *stream) settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settled = true
}

func (x *stream) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteHeaders:   func() { x.sent.Store(true); x.touch() },
		Got1xxResponse: x.inform,
		Got100Continue: func() { x.received.Store(true) },
		GotConn:        func(c httptrace.GotConnInfo) { x.conn.Store(&c.Conn); x.reused.Store(c.Reused); x.touch() },
	}
}

// inform passes an interim response on. It runs on the library's goroutine while RoundTripWith waits, or is too late.
func (x *stream) inform(status int, h textproto.MIMEHeader) error {
	x.received.Store(true)
	x.touch()
	x.mu.Lock()
	defer x.mu.Unlock()
	switch x.interim++; {
	case !http1.KnownInterim(status):
		x.flaw = fmt.Errorf("informational response %d", status)
	case x.interim > http1.MaxInterim:
		x.flaw = fmt.Errorf("more than %d informational responses", http1.MaxInterim)
	}
	if x.flaw != nil {
		return x.flaw
	}
	if x.settled || x.call == nil || x.call.Interim == nil || status == http.StatusContinue {
		return nil
	}
	return x.call.Interim(status, http.Header(h))
}

// copyOf makes the request that the library gets: nothing of it is the server's, and nothing belongs to a connection (RFC 9113
// section 8.2.2).
func (x *stream) copyOf(ctx context.Context, req *http.Request) *http.Request {
	out := req.WithContext(ctx)
	out.Header = req.Header.Clone()
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings"} {
		delete(out.Header, name)
	}
	if x.call != nil {
		for _, f := range x.call.Fields {
			out.Header[f.Name] = append(out.Header[f.Name], f.Value)
		}
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // the library's own is not wanted
	}
	out.URL = target(req.URL)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = newStreamRequest(req.Body, x)
	} else if !repeatable(req.Method) {
		out.Body = noBody{}
	}
	out.GetBody = nil
	out.Close = false
	return out
}

// repeatable reports whether the library may send a request without a body again by itself (RFC 9110 section 9.2.2).
func repeatable(method string) bool {
	switch method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// target copies a URL so that the library sends the bytes of Opaque. It takes an Opaque with two leading slashes for an authority.
func target(u *url.URL) *url.URL {
	out := *u
	if strings.HasPrefix(u.Opaque, "//") {
		if path, err := url.PathUnescape(u.Opaque); err == nil {
			out.Path, out.RawPath, out.Opaque = path, u.Opaque, ""
		}
	}
	return &out
}

type streamBody struct {
	io.ReadCloser
	x *stream
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.touch()
	if err != nil && err != io.EOF {
		return n, b.x.failure("read body", err)
	}
	return n, err
}

func (b *streamBody) Close() error {
	err := b.ReadCloser.Close()
	b.x.stop()
	return err
}

// alert is what the endpoint said of our certificate, or nil. In TLS 1.3 it says so after the handshake, and the library only knows of a
// connection that came to nothing; that connection, which is closed, still knows why.
func (x *stream) alert(err error) error {
	conn := x.conn.Load()
	if conn == nil || !strings.Contains(err.Error(), "client conn could not be established") {
		return nil
	}
	below, ok := (*conn).(*lengthReader)
	if !ok {
		return nil
	}
	secure, ok := below.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	_ = secure.SetReadDeadline(time.Now())
	if _, last := secure.Read(make([]byte, 1)); isAlert(last) {
		return last
	}
	return nil
}

// failure makes the error that package http1 would return.
func (x *stream) failure(op string, err error) *http1.Error {
	var (
		dial  *dialError
		write *net.OpError
		reset http2.StreamError
	)
	if alert := x.alert(err); alert != nil {
		err = alert
	}
	e := &http1.Error{Op: op, Sent: x.sent.Load(), Received: x.received.Load(), Reused: x.reused.Load(), Err: err}
	x.mu.Lock()
	flaw := x.flaw
	x.mu.Unlock()
	switch {
	case flaw != nil:
		e.Op, e.Err = "malformed", flaw
	case refusedByLibrary(err):
		e.Op = "malformed"
	case notBegun(err):
		e.Unread = true
	case x.timedOut.Load():
		e.Err = os.ErrDeadlineExceeded
	case x.parent.Err() != nil:
		e.Op, e.Err = "canceled", x.parent.Err()
	case errors.As(err, &dial):
		e.Op, e.Sent, e.Err = "dial", false, dial.err
	case errors.As(err, &write) && write.Op == "write" && !x.reading.Load():
		e.Unread = true // its HEADERS could not be written
	case strings.HasPrefix(err.Error(), notRepeated):
		e.Reused = false // the stream was reset, not the connection
	case errors.As(err, &reset): // the stream, not the connection
		e.Reused = false
		e.Unread = reset.Code == http2.ErrCodeRefusedStream
	}
	return e
}
