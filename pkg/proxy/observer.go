package proxy

import (
	"net/http"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// Observer is told what happens, for metrics. It must not keep what it is given.
type Observer interface {
	// Picked is called for each try with the endpoint that gets the request.
	Picked(b *route.Backend, e *pool.Endpoint)
	// Retried is called when another try is made after a failure.
	Retried(b *route.Backend, after policy.Reason)
	// Ejected is called when an endpoint is left alone for a while since requests to it kept failing.
	Ejected(b *route.Backend)
	// Mirrored is called for each copy of a request: "sent", "dropped" or "failed".
	Mirrored(outcome string)
	// Streamed is called at the end of each connection that was passed on as it is: "passthrough" or "tcp".
	Streamed(kind string, r *Record)
	// Done is called once for each request, after the answer; for an upgraded connection, after its end.
	Done(r *Record)
}

// AccessLog gets one record for each request. It must not keep it.
type AccessLog interface {
	Log(r *Record)
}

// Record is what became of a request.
type Record struct {
	Time     time.Time     // when its head had been read
	Duration time.Duration // until the end of the answer
	Upstream time.Duration // from the first try to the head of the endpoint's answer; 0 when none was asked or none answered

	Request *http.Request // as the server gave it; its header fields have been edited
	Method  string
	Proto   string
	Scheme  string // as the client used it
	Host    string // lower case, without port
	Target  string // path and query as sent
	Client  string // its address, by headers where they are trusted
	ID      string // X-Request-ID

	Route   *route.Route   // nil when nothing claims the request
	Backend *route.Backend // nil when none was looked at

	Status   int
	Reason   policy.Reason // why Usher made the answer, or cut it; empty when the endpoint's was passed on whole
	Error    string        // what went wrong in words, if something did
	Received int64         // bytes of the request body
	Sent     int64         // bytes of the response body; for an upgraded connection, of everything after the head
	Tries    []Try         // endpoints asked, in order
}

// Try is one endpoint that was asked.
type Try struct {
	Address  string
	Status   int // 0 when it did not answer
	Duration time.Duration
}

// HostPattern is the host as the Ingress declares it, or empty.
func (r *Record) HostPattern() string {
	if r.Route == nil {
		return ""
	}
	return r.Route.Host
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Picked(*route.Backend, *pool.Endpoint) {}
func (nobody) Retried(*route.Backend, policy.Reason) {}
func (nobody) Ejected(*route.Backend)                {}
func (nobody) Mirrored(string)                       {}
func (nobody) Streamed(string, *Record)              {}
func (nobody) Done(*Record)                          {}
