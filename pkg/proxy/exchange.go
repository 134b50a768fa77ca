package proxy

import (
	"net/http"
	"net/url"
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// exchange is one request on its way: what the phases find out and hand to each other. It is pooled; nothing may refer to it, or to
// what it points to, after end.
type exchange struct {
	proxy *Proxy
	w     http.ResponseWriter
	r     *http.Request

	request         decide.Request
	decide.Decision // what becomes of it

	body     *clientBody // nil without a body
	out      *http.Request
	blank    http.Request // what out points to when the request has no body
	url      url.URL
	call     pool.Call
	members  *members
	transit  bool  // members belong to this request alone
	tried    []int // members that the request was sent to, in order
	session  session
	scratch  policy.Scratch
	limited  pool.LimitKey  // the client's place among requests at a time; not valid when there is no such limit
	admitted bool           // the request has a place among those in flight to its Service
	copied   int64          // bytes of room that the body's copy has, for mirroring
	endpoint *pool.Endpoint // the one that has the request, until it is counted as done
	response *http.Response
	failure  *pool.Error   // of the last try
	asked    time.Duration // from the start of the request to the choice of the endpoint: one look at the clock for all who want to know
	wasted   int           // tries that met a kept connection which was closed
	sending  time.Duration // from the request's beginning to its first try

	key      string // Sec-WebSocket-Key that we sent for an HTTP/2 client, which has none
	begun    bool   // the final response's head has been given to w
	hijacked bool
	aborted  bool // the connection is to be cut, so that the client sees that the answer is not complete

	ids     ids
	record  Record
	values  [valueSlots]string // what single-valued header fields point into
	add     [12]pool.Field     // what Edits point into at first
	replace [4]pool.Field
	remove  [8]string
	room    http1.Answer // what response points to, if it came over HTTP/1.1
	tries   [4]Try       // what record.Tries points into at first
}

func newExchange(p *Proxy) *exchange {
	x := &exchange{proxy: p, tried: make([]int, 0, 8), ids: newIDs()}
	x.Edits = decide.Edits{Add: x.add[:0], Replace: x.replace[:0], Remove: x.remove[:0]}
	x.call.Interim, x.call.Answer = x.interim, &x.room
	x.reset()
	return x
}

func (x *exchange) begin(w http.ResponseWriter, r *http.Request) {
	x.w, x.r = w, r
	x.record.Time = time.Now()
	x.record.Request = r
	x.record.Method, x.record.Proto = r.Method, r.Proto
	x.Set = x.proxy.defaults // until it is decided about
}

// reset forgets the request.
func (x *exchange) reset() {
	x.w, x.r = nil, nil
	x.request = decide.Request{}
	x.Reset()
	x.body, x.out, x.members, x.endpoint, x.response, x.failure = nil, nil, nil, nil, nil, nil
	x.blank, x.url = http.Request{}, url.URL{}
	x.call.Timeouts, x.call.Fields, x.call.Fresh = pool.Timeouts{}, nil, false
	x.room = http1.Answer{}
	x.tried, x.session, x.wasted = x.tried[:0], session{}, 0
	x.limited, x.admitted, x.copied = pool.LimitKey{}, false, 0
	x.key = ""
	x.transit, x.begun, x.hijacked, x.aborted = false, false, false, false
	x.record = Record{Tries: x.tries[:0]}
}

// letGo gives back what the request held.
func (x *exchange) letGo() {
	if x.response != nil {
		_ = x.response.Body.Close()
	}
	if x.endpoint != nil {
		x.endpoint.Leave()
		x.endpoint = nil
	}
	x.leaveLimits()
	if x.copied > 0 {
		x.proxy.copied.Add(-x.copied)
	}
	if x.transit {
		x.proxy.bindings.release(x.members)
	}
	if x.body != nil {
		x.record.Received = x.body.read.Load()
	}
}
