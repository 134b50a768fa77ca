package proxy

import (
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// Every answer that Usher makes itself is made here: from a policy.Reason, which fixes the status.

// statusClientClosed is nginx's status for a client that left; it is logged and never sent.
const statusClientClosed = 499

// fail answers with the status that belongs to reason.
func (x *exchange) fail(reason policy.Reason) bool {
	return x.failWith(reason.Status(), reason)
}

// said is what nginx's pages say beside the status, where people know it by that.
func said(reason policy.Reason) string {
	switch reason {
	case policy.NoClientCertificate:
		return "No required SSL certificate was sent"
	case policy.BadClientCertificate:
		return "The SSL certificate error"
	case policy.ClientCertificateDenied:
		return "client certificate unauthorized"
	}
	return ""
}

// failWith answers with a status and a reason. If the endpoint's answer was begun, all that is left is to cut it.
func (x *exchange) failWith(status int, reason policy.Reason) bool {
	x.record.Reason = reason
	if x.begun || x.hijacked {
		x.aborted = !x.hijacked
		return true
	}
	x.begun = true
	x.record.Status = status
	if status == statusClientClosed {
		x.aborted = true
		return true
	}
	h := x.w.Header()
	x.ownFields(h)
	if !x.proxy.hide {
		x.put(h, "X-Usher-Reason", slotReason, string(reason))
	}
	if isGRPC(x.r.Header) {
		h["Grpc-Status"], h["Grpc-Message"] = []string{x.callStatus(status)}, []string{string(reason)}
	}
	x.writePage(status, Page{Status: status, Text: said(reason), Reason: x.shown(reason), ID: x.record.ID})
	return true
}

// shown is the reason as error pages have it.
func (x *exchange) shown(reason policy.Reason) string {
	if x.proxy.hide {
		return ""
	}
	return string(reason)
}

// redirectTo answers with a redirect.
func (x *exchange) redirectTo(a policy.Answer) bool {
	x.record.Reason, x.record.Status = a.Reason, a.Status
	x.begun = true
	h := x.w.Header()
	x.ownFields(h)
	if a.Location != "" {
		h["Location"] = []string{a.Location}
	}
	if !x.proxy.hide {
		x.put(h, "X-Usher-Reason", slotReason, string(a.Reason))
	}
	if a.Status == http.StatusNotModified {
		x.w.WriteHeader(a.Status)
		return true
	}
	if a.Body != "" {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
		x.writeBody(a.Status, []byte(a.Body))
		return true
	}
	x.writePage(a.Status, Page{Status: a.Status, Reason: x.shown(a.Reason), ID: x.record.ID})
	return true
}

func (x *exchange) writePage(status int, page Page) {
	h := x.w.Header()
	x.writeBody(status, page.Render(first(x.r.Header["Accept"]), h))
}

func (x *exchange) writeBody(status int, body []byte) {
	h := x.w.Header()
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		n, _ := x.w.Write(body)
		x.record.Sent = int64(n)
	}
}

// Page is the body of an answer that Usher makes itself.
type Page struct {
	Status int
	Text   string // a sentence; empty is not shown
	Reason string // empty is not shown
	ID     string // of the request; empty is not shown
}

// Render makes the page, JSON where accept (the request's Accept) prefers it and HTML otherwise, and sets Content-Type in h.
func (p Page) Render(accept string, h http.Header) []byte {
	text := http.StatusText(p.Status)
	if prefersJSON(accept) {
		h["Content-Type"] = []string{"application/json"}
		b := append([]byte(`{"status":`), strconv.Itoa(p.Status)...)
		b = appendJSON(append(b, `,"error":`...), text)
		if p.Text != "" {
			b = appendJSON(append(b, `,"message":`...), p.Text)
		}
		if p.Reason != "" {
			b = appendJSON(append(b, `,"reason":`...), p.Reason)
		}
		if p.ID != "" {
			b = appendJSON(append(b, `,"requestId":`...), p.ID)
		}
		return append(b, "}\n"...)
	}
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	title := strconv.Itoa(p.Status) + " " + text
	b := []byte("<!doctype html>\n<title>" + title + "</title>\n<h1>" + title + "</h1>\n")
	if p.Text != "" {
		b = append(b, "<p>"+html.EscapeString(p.Text)+"</p>\n"...)
	}
	if p.Reason != "" {
		b = append(b, "<p>Reason: <code>"+html.EscapeString(p.Reason)+"</code></p>\n"...)
	}
	if p.ID != "" {
		b = append(b, "<p>Request: <code>"+html.EscapeString(p.ID)+"</code></p>\n"...)
	}
	return append(b, "<hr>usher\n"...)
}

// prefersJSON reports whether JSON stands in Accept, and before HTML if that does too. Weights are not looked at.
func prefersJSON(accept string) bool {
	accept = strings.ToLower(accept)
	json := strings.Index(accept, "application/json")
	if json < 0 {
		json = strings.Index(accept, "application/problem+json")
	}
	html := strings.Index(accept, "text/html")
	return json >= 0 && (html < 0 || json < html)
}

// reasonFor is reasonOf, but for a call whose time is over: that ended it, whatever the endpoint then did.
func (x *exchange) reasonFor(cause pool.Cause) policy.Reason {
	if x.overdue() {
		return policy.EndpointTimeout
	}
	return reasonOf(cause)
}

// reasonOf says why no endpoint answered.
func reasonOf(cause pool.Cause) policy.Reason {
	switch cause {
	case pool.Timeout:
		return policy.EndpointTimeout
	case pool.Reset:
		return policy.EndpointReset
	case pool.Malformed:
		return policy.BadResponse
	case pool.Denied:
		return policy.EndpointDenied
	case pool.RequestBody, pool.BadRequest:
		return policy.BadRequest
	case pool.Canceled:
		return policy.ClientClosed
	case pool.Unresolved:
		return policy.EndpointUnresolved
	case pool.Busy:
		return policy.Overloaded
	case pool.Untrusted:
		return policy.EndpointUntrusted
	case pool.Handshake:
		return policy.EndpointTLS
	case pool.BadStatus:
		return policy.EndpointStatus
	}
	return policy.EndpointRefused
}

// LastFailure is the reason that a request would have been answered with for an endpoint's last failure; empty before the first.
func LastFailure(s *pool.Status) policy.Reason {
	if s.Failed == 0 {
		return ""
	}
	return reasonOf(s.Cause)
}
