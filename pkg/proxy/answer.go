package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// answer passes the endpoint's response on.
func (x *exchange) answer() bool {
	switch status := x.response.StatusCode; {
	case status == http.StatusSwitchingProtocols:
		return x.upgrade()
	case x.key != "" && status < http.StatusMultipleChoices: // to the client it would mean that its WebSocket is open
		x.record.Error = "the endpoint does not speak WebSocket"
		x.settle(pool.None)
		return x.fail(policy.BadResponse)
	}
	h := x.w.Header()
	x.webHead()
	announced := x.writeHead(h)
	sent, err := x.copyBody()
	x.record.Sent = sent
	if err != nil {
		return x.cutShort(err)
	}
	x.settle(pool.None)
	if !x.Web.On {
		x.passTrailer(h, announced)
	}
	return true
}

// headWriter is a ResponseWriter that takes the fields of an answer from another map than its own, which saves copying them.
type headWriter interface {
	WriteHeaderWith(status int, h http.Header)
}

// writeHead passes status and fields on, and adds Usher's own. It reports whether trailers were announced.
func (x *exchange) writeHead(h http.Header) (announced bool) {
	res := x.response
	x.keepEndToEnd(h)
	x.ownFields(h)
	for name := range h {
		delete(res.Header, name) // Usher's own replace the application's
	}
	if cookie := x.cookie(); cookie != "" {
		h["Set-Cookie"] = []string{cookie}
	}
	x.record.Status = res.StatusCode
	x.begun = true
	if w, ok := x.w.(headWriter); ok && len(res.Trailer) == 0 {
		w.WriteHeaderWith(res.StatusCode, res.Header)
		return false
	}
	for name, values := range res.Header {
		h[name] = append(slices.Clip(values), h[name]...)
	}
	announced = x.announceTrailer(h)
	x.w.WriteHeader(res.StatusCode)
	return announced
}

// keepEndToEnd removes from the answer's fields what belongs to the endpoint's connection, and the application's Server, as
// ingress-nginx does. The field Upgrade of a 426 is end-to-end in effect, and becomes Usher's own.
func (x *exchange) keepEndToEnd(h http.Header) {
	fields := x.response.Header
	delete(fields, "Server")
	if upgrade := fields["Upgrade"]; upgrade != nil {
		delete(fields, "Upgrade")
		if x.response.StatusCode == http.StatusUpgradeRequired {
			h["Upgrade"] = upgrade
		}
	}
	if x.response.ProtoMajor == 1 {
		return // package http1 hands on nothing else of the connection
	}
	if named := fields["Connection"]; named != nil {
		names, _ := field.Named(named, nil)
		for _, name := range names {
			delete(fields, name)
		}
	}
	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Trailer"} {
		delete(fields, name)
	}
}

// ownFields are those that every answer gets.
func (x *exchange) ownFields(h http.Header) {
	if value := x.HSTS(); value != "" {
		x.put(h, "Strict-Transport-Security", slotHSTS, value)
	}
	if x.Set.Headers.ServerTokens {
		x.put(h, "Server", slotServer, "usher")
	}
}

// announceTrailer names the fields that will come after the body, where the endpoint did.
func (x *exchange) announceTrailer(h http.Header) (announced bool) {
	if len(x.response.Trailer) == 0 {
		return false
	}
	h["Trailer"] = []string{strings.Join(slices.Sorted(maps.Keys(x.response.Trailer)), ", ")}
	return true
}

// passTrailer passes on what came after the body. Nothing of it belongs to a connection: the transports see to that.
func (x *exchange) passTrailer(h http.Header, announced bool) {
	if len(x.response.Trailer) == 0 {
		return
	}
	named := h["Trailer"]
	for name, values := range x.response.Trailer {
		if announced && field.Lists(named, name) {
			h[name] = values
			continue
		}
		h[http.TrailerPrefix+name] = values
	}
}

// cutShort ends an answer that cannot be completed. If nothing of it has left, an error takes its place; else the client must see
// that it is not whole, so the connection is cut.
func (x *exchange) cutShort(err error) bool {
	cause := pool.CauseOf(err)
	switch {
	case cause == pool.None || cause == pool.Canceled || x.clientLeft():
		x.record.Reason = policy.ClientClosed
		cause = pool.Canceled
	case x.body.failed() != nil:
		x.record.Reason = policy.BadRequest
		if errors.Is(x.body.failed(), errTooLarge) {
			x.record.Reason = policy.BodyTooLarge
		}
		cause = pool.RequestBody
	default:
		x.record.Reason = x.reasonFor(cause)
	}
	x.record.Error = err.Error()
	x.settle(cause)
	if cause != pool.Canceled && x.retract() {
		return x.fail(x.record.Reason)
	}
	x.aborted = !x.endCall()
	return true
}

// retract takes back an answer of which the client has seen nothing, and reports whether it could.
func (x *exchange) retract() bool {
	w, ok := x.w.(interface{ Retract() bool })
	if !ok || x.Web.On || !w.Retract() {
		return false
	}
	x.begun, x.record.Sent = false, 0
	return true
}

// copyBuffer is for bodies that do not go from socket to socket.
type copyBuffer [32 << 10]byte

// copyBody copies the response's body. What the endpoint sends bit by bit is sent on bit by bit.
func (x *exchange) copyBody() (int64, error) {
	res := x.response
	if x.r.Method == http.MethodHead || res.ContentLength == 0 {
		return 0, nil
	}
	streams := x.streams()
	paces := x.Set.Limit.Bandwidth > 0
	if to, ok := x.w.(io.ReaderFrom); ok && !streams && !paces && !x.Web.On {
		return to.ReadFrom(res.Body)
	}
	to := io.Writer(x.w)
	if paces {
		to = x.paced()
	}
	if x.Web.On {
		return x.copyWeb(to)
	}
	buffer := x.proxy.buffers.Get().(*copyBuffer)
	defer x.proxy.buffers.Put(buffer)
	if streams {
		if err := x.flush(); err != nil {
			return 0, err
		}
	}
	return x.copyThrough(to, buffer[:], streams || res.ContentLength < 0)
}

// streams reports whether the client should see the head at once and then every piece: events, gRPC, and any other HTTP/2 stream of
// unknown length.
func (x *exchange) streams() bool {
	res := x.response
	return res.ContentLength < 0 && (res.ProtoMajor == 2 || strings.HasPrefix(first(res.Header["Content-Type"]), "text/event-stream"))
}

func (x *exchange) copyThrough(to io.Writer, buffer []byte, flush bool) (sent int64, err error) {
	for {
		n, rerr := x.response.Body.Read(buffer)
		if n > 0 {
			m, werr := to.Write(buffer[:n])
			sent += int64(m)
			if werr == nil && flush && rerr == nil {
				werr = x.flush()
			}
			if werr != nil {
				return sent, werr
			}
		}
		if rerr == io.EOF {
			return sent, nil
		}
		if rerr != nil {
			return sent, rerr
		}
	}
}

// flush sends what was written. A writer that cannot needs none.
func (x *exchange) flush() error {
	switch f := x.w.(type) {
	case interface{ FlushError() error }:
		return f.FlushError()
	case http.Flusher:
		f.Flush()
	}
	return nil
}
