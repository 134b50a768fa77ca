package proxy

import (
	"net/http"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
)

// decide has package decide find out what becomes of the request, and answers where that is Usher's to do.
func (x *exchange) decide() bool {
	r, q := x.r, &x.request
	q.Method, q.Proto, q.Host, q.Target, q.Header, q.Length = r.Method, r.ProtoMajor, r.Host, r.RequestURI, r.Header, r.ContentLength
	q.Parsed, q.Peer = true, addressOf(r.RemoteAddr)
	if r.TLS != nil {
		q.TLS, q.ServerName = true, r.TLS.ServerName
	}
	decide.Decide(x.proxy.tables.Load(), &x.request, (*world)(x), &x.Decision)
	if x.Lacks() {
		x.wait()
	}
	x.describe()
	switch {
	case x.Sends():
		return false
	case x.Lacks() && x.clientLeft():
		return x.fail(policy.ClientClosed)
	case x.Answer.Status == 0: // nobody said that it may go on
		return x.fail(policy.Internal)
	}
	return x.answerSelf()
}

// describe is what the record says of the request.
func (x *exchange) describe() {
	x.record.Client, x.record.ID = x.Client, x.ID
	x.record.Scheme, x.record.Host, x.record.Target = x.Ask.Scheme, x.Ask.Host, x.Ask.Target
	x.record.Route, x.record.Backend, x.record.Error = x.Match.Route, x.Upstream.Backend, x.Answer.Detail
}

// answerSelf gives the answer that was decided.
func (x *exchange) answerSelf() bool {
	switch a := &x.Answer; {
	case a.Reason == "":
		return x.approve(a)
	case a.Status < http.StatusBadRequest:
		return x.redirectTo(a.Answer)
	default:
		if a.Close && x.r.ProtoMajor == 1 {
			x.w.Header()["Connection"] = []string{"close"}
		}
		return x.failWith(a.Status, a.Reason)
	}
}

// approve answers without a body: OPTIONS, and the health check of a load balancer in front of us.
func (x *exchange) approve(a *decide.Answer) bool {
	x.begun, x.record.Status = true, a.Status
	if a.Allow != "" {
		h := x.w.Header()
		x.ownFields(h)
		h["Allow"], h["Content-Length"] = []string{a.Allow}, []string{"0"}
	}
	x.w.WriteHeader(a.Status)
	return true
}
