package proxy

import (
	"errors"
	"net/http"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// forward sends the request to an endpoint, and to others while that fails, or is answered as the policy lists, and another try is
// allowed.
func (x *exchange) forward() bool {
	e := x.next()
	x.sending = x.asked
	for e != nil {
		after := policy.EndpointStatus
		if x.try(e) {
			if e = x.instead(); e == nil {
				return false
			}
			x.discard()
		} else {
			if e = x.another(); e == nil {
				break
			}
			after = reasonOf(x.failure.Cause)
		}
		x.proxy.observer.Retried(x.record.Backend, after)
	}
	return x.unanswered()
}

// try gives the request to one endpoint and reports whether it answered.
func (x *exchange) try(e *pool.Endpoint) bool {
	x.address(e)
	x.proxy.observer.Picked(x.record.Backend, e)
	x.endpoint = e
	e.Begin()
	response, err := e.RoundTrip(x.out, &x.call)
	now := time.Since(x.record.Time)
	x.record.Tries = append(x.record.Tries, Try{Address: e.Address(), Duration: now - x.asked})
	if err == nil {
		x.response, x.failure = response, nil
		x.record.Tries[len(x.record.Tries)-1].Status = response.StatusCode
		x.record.Upstream = now
		if x.Set.Balance.Algorithm == policy.EWMA {
			e.Answered(now - x.asked)
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
	if x.TargetHost() == "" {
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
		if x.overdue() { // the endpoint did as it was told
			e.Leave()
			return
		}
		health := &x.Set.Health
		if x.members.group.Failed(e, x.members.endpoints[:x.members.ready], pool.Ejection{After: health.MaxFails, For: health.EjectFor}, cause) {
			x.proxy.observer.Ejected(x.record.Backend)
		}
	}
}

// another is the endpoint that is tried after a failure, or nil.
func (x *exchange) another() *pool.Endpoint {
	if !x.mayRetry() {
		return nil
	}
	return x.next()
}

// mayRetry decides whether another endpoint is tried after failure (policy.Retry; nothing of an answer has gone out yet). A try that met
// a closed connection does not count, as in nginx.
func (x *exchange) mayRetry() bool {
	after := policy.Broken
	switch x.failure.Cause {
	case pool.Canceled, pool.RequestBody, pool.BadRequest:
		return false
	case pool.Busy: // nobody was asked
		return (x.body == nil || x.body.again()) && !x.clientLeft()
	case pool.Timeout:
		after = policy.TimedOut
	case pool.Malformed:
		after = policy.Invalid
	}
	retry, unread := &x.Set.Retry, x.failure.Unread || !x.failure.Sent
	stale := x.failure.Unused() && (unread || retry.Repeats(x.r.Method))
	if stale {
		x.wasted++
		x.call.Fresh = true // the next connection is not a closed one
	}
	if x.overdue() || !x.mayRepeat() || x.body != nil && !x.body.again() {
		return false
	}
	if stale {
		return !retry.Off
	}
	return retry.Allows(x.r.Method, !unread, after) && x.members.group.MayRetry()
}

// mayRepeat reports whether the request can be sent once more: as often, and as late, as the policy allows.
func (x *exchange) mayRepeat() bool {
	retry := &x.Set.Retry
	limit := retry.Tries
	if limit == 0 {
		limit = x.members.ready + 1 // and no endpoint twice, see next
	}
	if limit += min(x.wasted, x.members.ready); len(x.record.Tries) >= limit {
		return false
	}
	late := retry.Within > 0 && time.Since(x.record.Time)-x.sending >= retry.Within
	return !late && !x.clientLeft()
}

// instead is the endpoint that is asked although one has answered, since proxy-next-upstream lists the answer's status; nil when the
// answer is to be passed on. nginx passes the last one on as well.
func (x *exchange) instead() *pool.Endpoint {
	retry := &x.Set.Retry
	if retry.Answers == 0 || !retry.Answers.Has(x.response.StatusCode) || !retry.Allows(x.r.Method, true, policy.Answered) || !x.mayRepeat() {
		return nil
	}
	e := x.next()
	if e == nil {
		return nil
	}
	if x.members.group.MayRetry() && (x.body == nil || x.body.again()) {
		return e
	}
	x.tried = x.tried[:len(x.tried)-1]
	return nil
}

// discard forgets an answer that another endpoint is to better. To the endpoint it counts as a failure, unless the application means it.
func (x *exchange) discard() {
	cause := pool.None
	if policy.Failed(x.response.StatusCode) {
		cause = pool.BadStatus
	}
	x.settle(cause)
	_ = x.response.Body.Close()
	x.response = nil
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
	return x.fail(x.reasonFor(x.failure.Cause))
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
	t := &x.Set.Timeouts
	limits := pool.Timeouts{Connect: t.Connect, FirstByte: t.Read, ReadIdle: t.Read, WriteIdle: t.Send}
	if x.body != nil && len(x.body.ahead) == 0 && x.r.Header["Expect"] != nil {
		limits.Continue = continueTimeout
	}
	return limits
}
