package http1

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/field"
)

// responseHead is what a response's head says besides its fields.
type responseHead struct {
	status  int
	minor   int
	close   bool
	keep    bool
	upgrade bool
	lengths int
	codings int
	length  string
	coding  string
	named   []string // further fields that Connection names
}

// MaxInterim is how many informational responses may precede a final one.
const MaxInterim = 64

// KnownInterim reports whether an endpoint may send an informational response with this status: 100 Continue, 102 Processing, 103
// Early Hints, 104 Upload Resumption Supported. A 101 is none.
func KnownInterim(status int) bool { return status == 100 || status >= 102 && status <= 104 }

// readHead reads heads until a final one (or 101) is there.
func (x *clientExchange) readHead() error {
	x.makeAnswer()
	for seen := range MaxInterim + 1 {
		if err := x.readOneHead(); err != nil {
			return x.headError(err)
		}
		interim := x.head.status < 200 && x.head.status != http.StatusSwitchingProtocols
		if interim && seen == MaxInterim {
			break
		}
		switch status := x.head.status; {
		case status >= 200:
			return x.abandonBody()
		case status == http.StatusSwitchingProtocols:
			if err := x.checkUpgrade(); err != nil {
				return x.headError(err)
			}
			return nil
		case status == http.StatusContinue:
			x.continueNow()
		default:
			if err := x.inform(status); err != nil {
				return x.fail("read head", err)
			}
		}
	}
	return x.headError(malformed("many-interim", "more than %d informational responses", MaxInterim))
}

// makeAnswer makes the Response, where the caller wants it.
func (x *clientExchange) makeAnswer() {
	var a *Answer
	if x.call != nil && x.call.Answer != nil {
		a = x.call.Answer
		*a = Answer{}
	} else {
		a = &Answer{}
	}
	a.body.x, a.body.res = x, &a.res
	a.res.Body = &a.body
	x.res = &a.res
}

// checkUpgrade holds a 101 to what the client asked for (RFC 9110 7.8).
func (x *clientExchange) checkUpgrade() error {
	to := x.fields.header["Upgrade"]
	switch {
	case !x.upgrade:
		return malformed("unasked-upgrade", "101 to a request without Upgrade")
	case !x.head.upgrade || len(to) != 1:
		return malformed("bad-upgrade", "101 without \"Connection: upgrade\" and one Upgrade field")
	}
	for list := to[0]; list != ""; {
		var protocol string
		if protocol, list = nextElement(list); !listed(x.req.Header["Upgrade"], protocol) {
			return malformed("other-upgrade", "101 to %.40q, which was not asked for", protocol)
		}
	}
	return nil
}

// continueLook is how often a body that waits for 100 Continue is looked at:
// a client that does not wait for it has sent some.
const continueLook = 50 * time.Millisecond

// mayContinue sends the body that waits for 100 Continue, if its time has come.
func (x *clientExchange) mayContinue() {
	if now() >= after(x.begun, x.timeouts.Continue) || x.arriving() {
		x.continueNow()
	}
}

// arriving reports whether the request's body comes without having been asked
// for, if it can be known.
func (x *clientExchange) arriving() bool {
	body, ok := x.req.Body.(interface{ Arriving() bool })
	return ok && body.Arriving()
}

// continueNow sends the body that waited for 100 Continue.
func (x *clientExchange) continueNow() {
	if x.expect && x.sender == nil {
		x.startSender(nil)
	}
}

// abandonBody closes the body that a final response made unnecessary.
func (x *clientExchange) abandonBody() error {
	if x.expect && x.sender == nil {
		x.head.close = true // the promised body will not come
		_ = x.req.Body.Close()
	}
	return nil
}

func (x *clientExchange) headError(err error) error {
	var p *ProtocolError
	switch {
	case errors.As(err, &p):
		return x.fail("malformed", err)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return x.fail("read head", err)
}

// inform passes an informational response on.
func (x *clientExchange) inform(status int) error {
	if x.call != nil && x.call.Interim != nil {
		return x.call.Interim(status, x.fields.header)
	}
	trace := httptrace.ContextClientTrace(x.req.Context())
	if trace == nil || trace.Got1xxResponse == nil {
		return nil
	}
	return trace.Got1xxResponse(status, textproto.MIMEHeader(x.fields.header))
}

func (x *clientExchange) readOneHead() error {
	scanned := 0
	for {
		held := x.in.bytes()
		if len(held) > 0 {
			if held[0] != 'H' {
				return malformed("bad-status-line", "the response begins with %q", held[:min(len(held), 20)])
			}
			end, next, err := headEnd(held, scanned)
			if err != nil {
				return err
			}
			if end > x.t.limits.HeadBytes || end == 0 && len(held) >= x.t.limits.HeadBytes {
				return malformed("large-head", "the response head exceeds %d bytes", x.t.limits.HeadBytes)
			}
			if end > 0 {
				head := string(held[:end])
				x.in.discard(end)
				if err := x.parseResponse(head); err != nil {
					return err
				}
				return nil
			}
			scanned = next
		}
		if !x.in.room(x.t.limits.HeadBytes + 1) {
			return malformed("large-head", "the response head exceeds %d bytes", x.t.limits.HeadBytes)
		}
		if err := x.moreHead(); err != nil {
			return err
		}
	}
}

// headLimit is until when to wait for the response, from a time on.
func (x *clientExchange) headLimit(from int64) int64 {
	if x.expect && x.sender == nil {
		return min(after(x.begun, x.timeouts.Continue), after(now(), continueLook))
	}
	return after(from, x.timeouts.FirstByte)
}

// moreHead reads. The time to the first byte counts from the end of the
// request, so while a sender is at work a timeout only means to look again.
func (x *clientExchange) moreHead() error {
	from := now()
	for {
		n, err := x.conn.wire.read(x.in.space(), x.headLimit(from), nil)
		x.in.filled(n)
		if n > 0 {
			x.received = true
			return nil
		}
		if !isTimeout(err) {
			return err
		}
		switch {
		case x.expect && x.sender == nil:
			x.mayContinue()
			from = now()
		case x.sender == nil:
			return err
		case !x.sender.finished():
			from = now()
		case x.sender.ended > from:
			from = x.sender.ended
		default:
			return err
		}
	}
}

// parseResponse fills x.res from a complete head.
func (x *clientExchange) parseResponse(head string) error {
	x.fields.reset()
	x.head = responseHead{}
	end := strings.IndexByte(head, '\n')
	if err := x.parseStatusLine(head[:end-1]); err != nil {
		return err
	}
	if err := x.parseResponseFields(head[end+1 : len(head)-2]); err != nil {
		return err
	}
	x.res.Header = x.fields.header
	x.res.Request = x.req
	if x.head.status < 200 {
		x.body.start(noBody, 0)
		return nil
	}
	if x.fields.has(idTrailer) {
		t, err := announced(&x.fields)
		if err != nil {
			return err
		}
		x.res.Trailer = t
	}
	if err := x.settleFraming(); err != nil {
		return err
	}
	x.res.Close = x.head.close
	return nil
}

// parseStatusLine reads "HTTP/1.x 200 reason"; the space before an empty
// reason may be missing, as many servers leave it out.
func (x *clientExchange) parseStatusLine(line string) error {
	bad := func() error { return malformed("bad-status-line", "status line %.80q", line) }
	if len(line) < 12 || line[:7] != "HTTP/1." || !isDigit(line[7]) || line[8] != ' ' {
		return bad()
	}
	if len(line) > 12 && line[12] != ' ' || !isFieldValue(line) {
		return bad()
	}
	n, ok := digits(line[9:12])
	if !ok || n > 599 || n < 200 && n != http.StatusSwitchingProtocols && !KnownInterim(int(n)) {
		return bad()
	}
	x.head.status = int(n)
	x.res.StatusCode, x.res.Status = int(n), line[9:]
	x.res.ProtoMajor, x.res.ProtoMinor, x.res.Proto = 1, 1, "HTTP/1.1"
	x.head.minor = 1
	if line[7] == '0' {
		x.res.ProtoMinor, x.res.Proto = 0, "HTTP/1.0"
		x.head.minor = 0
	}
	return nil
}

func (x *clientExchange) parseResponseFields(lines string) error {
	for lines != "" {
		name, value, rest, err := nextField(lines)
		if err != nil {
			return err
		}
		if x.fields.count++; x.fields.count > x.t.limits.Fields {
			return malformed("many-fields", "more than %d fields", x.t.limits.Fields)
		}
		if len(lines)-len(rest) > x.t.limits.FieldBytes {
			return malformed("large-field", "field %.40q exceeds %d bytes", name, x.t.limits.FieldBytes)
		}
		lines = rest
		canonical, id := canonicalName(name)
		switch id {
		case idContentLength:
			x.head.lengths++
			x.head.length = value
		case idTransferEncoding:
			x.head.codings++
			x.head.coding = value
			continue
		case idConnection:
			x.connectionField(value)
			continue
		case idKeepAlive:
			x.keepAlive(value)
			continue
		case idProxyConnection, idTE:
			continue
		case idUpgrade:
			if x.head.status != http.StatusSwitchingProtocols && x.head.status != http.StatusUpgradeRequired {
				continue
			}
		}
		x.fields.add(canonical, id, value)
	}
	for _, name := range x.head.named {
		delete(x.fields.header, name)
	}
	return nil
}

func (x *clientExchange) connectionField(list string) {
	for list != "" {
		var option string
		option, list = nextElement(list)
		switch {
		case equalFold(option, "close"):
			x.head.close = true
		case equalFold(option, "keep-alive"):
			x.head.keep = true
		case equalFold(option, "upgrade"):
			x.head.upgrade = true
		case field.IsToken(option):
			name, _ := canonicalName(option)
			x.head.named = append(x.head.named, name)
		}
	}
}

// settleFraming finds how the body ends (RFC 9112 6.3). Doubt is an error.
func (x *clientExchange) settleFraming() error {
	h := &x.head
	if h.minor == 0 && !h.keep {
		h.close = true
	}
	x.res.ContentLength, x.res.TransferEncoding = -1, nil
	var length int64
	switch {
	case h.codings > 0 && h.lengths > 0:
		return malformed("length-and-coding", "both Transfer-Encoding and Content-Length")
	case h.codings > 0 && (h.codings > 1 || !equalFold(h.coding, "chunked") || h.minor == 0):
		return malformed("bad-coding", "Transfer-Encoding: %.40q in an HTTP/1.%d response", h.coding, h.minor)
	case h.lengths > 1:
		return malformed("repeated-length", "%d Content-Length fields", h.lengths)
	case h.lengths == 1:
		n, ok := digits(h.length)
		if !ok {
			return malformed("bad-length", "Content-Length: %.40q", h.length)
		}
		length, x.res.ContentLength = n, n
	}
	switch {
	case x.req.Method == "HEAD" || h.status == 304:
		x.body.start(noBody, 0)
	case h.status == 204 || h.status == 205 && h.lengths+h.codings == 0:
		// A 204 that announces a body anyway may send one.
		h.close = h.close || h.codings > 0 || length > 0 || h.status == 205
		x.res.ContentLength = 0
		x.body.start(noBody, 0)
	case h.codings > 0:
		x.res.TransferEncoding = chunkedOnly
		x.body.start(byChunks, 0)
	case h.lengths > 0:
		x.body.start(byLength, length)
	default:
		h.close = true
		x.body.start(byClose, 0)
	}
	return nil
}
