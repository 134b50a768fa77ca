package proxy

import (
	"errors"
	"net/http"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// forward sends the request to an endpoint, and to others while that fails and the policy allows it.
func (x *exchange) forward() bool {
	for {
		e := x.next()
		if e == nil {
			return x.unanswered()
		}
		if x.try(e) {
			return false
		}
		if !x.mayRetry() {
			return x.unanswered()
		}
		x.proxy.observer.Retried(x.record.Backend, reasonOf(x.failure.Cause))
	}
}

// try gives the request to one endpoint and reports whether it answered.
func (x *exchange) try(e *pool.Endpoint) bool {
	x.address(e)
	x.proxy.observer.Picked(x.record.Backend, e)
	x.endpoint = e
	e.Begin()
	began := time.Since(x.record.Time)
	response, err := e.RoundTrip(x.out, &x.call)
	now := time.Since(x.record.Time)
	x.record.Tries = append(x.record.Tries, Try{Address: e.Address(), Duration: now - began})
	if err == nil {
		x.response = response
		x.record.Tries[len(x.record.Tries)-1].Status = response.StatusCode
		x.record.Upstream = now
		if x.set.Balance.Algorithm == policy.EWMA {
			e.Answered(now - began)
		}
		return true
	}
	if !errors.As(err, &x.failure) {
		x.failure = &pool.Error{Cause: pool.Reset, Sent: true, Err: err}
	}
	x.settle(x.failure.Cause)
	return false
}

// address makes out the request for one endpoint. With a body it is a new one for each try, since the transport may hold the last.
func (x *exchange) address(e *pool.Endpoint) {
	if x.body != nil {
		if len(x.record.Tries) > 0 {
			again, target := *x.out, *x.out.URL
			again.URL = &target
			x.out = &again
		}
		x.out.Body = x.body.try()
	}
	x.out.URL.Host = e.Address()
	x.out.URL.Scheme = "http"
	if e.Protocol() == pool.HTTP1TLS || e.Protocol() == pool.H2 {
		x.out.URL.Scheme = "https"
	}
	if x.host == "" && x.set.Upstream.VHost == "" {
		x.out.Host = e.Address() // an HTTP/1.0 client that sent no Host
	}
}

// settle counts the end of a try on its endpoint.
func (x *exchange) settle(cause pool.Cause) {
	e := x.endpoint
	x.endpoint = nil
	switch cause {
	case pool.None:
		e.End(true)
	case pool.Canceled, pool.RequestBody, pool.BadRequest, pool.Busy:
		e.Leave()
	default:
		health := &x.set.Health
		if x.members.group.Failed(e, x.members.endpoints[:x.members.ready], pool.Ejection{After: health.MaxFails, For: health.EjectFor}) {
			x.proxy.observer.Ejected(x.record.Backend)
		}
	}
}

// mayRetry decides whether another endpoint is tried after failure (policy.Retry; nothing of an answer has gone out yet). A try that met
// a closed connection does not count, as in nginx.
func (x *exchange) mayRetry() bool {
	switch x.failure.Cause {
	case pool.Canceled, pool.RequestBody, pool.BadRequest, pool.Malformed:
		return false
	case pool.Busy: // nobody was asked
		return (x.body == nil || x.body.again()) && !x.clientLeft()
	}
	retry := &x.set.Retry
	if x.failure.Unused() && x.failure.Unread {
		x.wasted++
	}
	limit := retry.Tries
	if limit == 0 {
		limit = x.members.ready + 1
	}
	if limit += min(x.wasted, x.members.ready); len(x.record.Tries) >= limit || retry.Within > 0 && time.Since(x.record.Time) >= retry.Within {
		return false
	}
	if x.body != nil && !x.body.again() || x.clientLeft() {
		return false
	}
	unread := x.failure.Unread || !x.failure.Sent
	if x.failure.Unused() && (unread || retry.NonIdempotent || policy.Idempotent(x.r.Method)) {
		return !retry.Off
	}
	return retry.Allows(x.r.Method, !unread, x.failure.Cause == pool.Timeout) && x.members.group.MayRetry()
}

// unanswered answers a request that no endpoint did.
func (x *exchange) unanswered() bool {
	if err := x.body.failed(); err != nil {
		return x.badBody(err)
	}
	if x.clientLeft() {
		return x.fail(policy.ClientClosed)
	}
	if x.failure == nil {
		return x.fail(policy.Overloaded) // every endpoint has as much as it may
	}
	x.record.Error = x.failure.Error()
	return x.fail(reasonOf(x.failure.Cause))
}

// interim passes an informational response (103) on to the client.
func (x *exchange) interim(status int, from http.Header) error {
	h := x.w.Header()
	for name, values := range from {
		h[name] = values
	}
	x.w.WriteHeader(status)
	clear(h)
	return nil
}

// continueTimeout is how long an endpoint may take to say "100 Continue" before the body is sent anyway.
const continueTimeout = time.Second

func (x *exchange) timeouts() pool.Timeouts {
	t := &x.set.Timeouts
	limits := pool.Timeouts{Connect: t.Connect, FirstByte: t.Read, ReadIdle: t.Read, WriteIdle: t.Send}
	if x.body != nil && len(x.body.ahead) == 0 && x.r.Header["Expect"] != nil {
		limits.Continue = continueTimeout
	}
	return limits
}
