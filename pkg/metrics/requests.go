package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Counting a request must cost next to nothing, so nothing is looked up by label. A request finds the series of its route in a copy-on-write map
// (cowmap.go), there its counter by method, status and reason in a map, and its histograms by class of status in an array; the rest is
// additions. Only the first request of a kind allocates. Samples with labels are made when somebody scrapes.

// Route names what a request was routed by. All are empty when nothing claimed the request.
type Route struct {
	Namespace, Ingress, Service string
	Host                        string // as the Ingress declares it ("*.example.com"), never as the client sent it
}

// Request is one that was answered.
type Request struct {
	Route
	Method   string
	Status   int
	Reason   string        // from the list in package policy, when Usher made the answer itself; else empty
	Duration time.Duration // from the request's head to the end of the answer
	Upstream time.Duration // of that, until the endpoint's answer began; 0 when none was asked
	Received int64         // bytes of the request's body
	Sent     int64         // bytes of the answer's body
}

// Request counts r and does not keep it.
func (m *Metrics) Request(r *Request) {
	route := m.requests.routes.get(r.Route)
	route.counter(answer{method(r.Method), code(r.Status), r.Reason}).Add(1)
	h := route.service.class(r.Status)
	h.duration.observe(int64(r.Duration))
	h.received.observe(r.Received)
	h.sent.observe(r.Sent)
	if r.Upstream > 0 {
		h.upstream.observe(int64(r.Upstream))
	}
}

// requests holds the series of all routes.
type requests struct {
	routes   *cowMap[Route, routeSeries]
	services *cowMap[service, serviceSeries]
	kinds    *histogramKinds
	budget   *budget
	other    *routeSeries // counts what the budget has no place for
	total    *prometheus.Desc
}

// service is what histograms are kept for. They have no host and no method, or there would be too many.
type service struct{ namespace, ingress, service string }

func (s service) hashParts() (string, string) { return s.namespace, s.ingress }

func (r Route) hashParts() (string, string) { return r.Namespace, r.Ingress }

func (r Route) series() service { return service{r.Namespace, r.Ingress, r.Service} }

func newRequests(m *Metrics, o Options) *requests {
	r := &requests{kinds: newHistogramKinds(m, o), budget: m.budget}
	r.other = emptyRoute(&serviceSeries{kinds: r.kinds})
	r.routes, r.services = newCOWMap(r.newRoute), newCOWMap(r.newService)
	r.total = m.describe("counter", "requests_total", "Requests answered. reason tells why Usher made the answer itself, and is empty "+
		"when the application did.", "ingress_namespace", "ingress", "service", "host", "method", "code", "reason")
	m.collected(append([]*prometheus.Desc{r.total}, r.kinds.descs()...), r.collect)
	return r
}

func emptyRoute(of *serviceSeries) *routeSeries {
	s := &routeSeries{service: of}
	s.counters.Store(&map[answer]*atomic.Uint64{})
	return s
}

func (r *requests) newRoute(of Route) *routeSeries {
	s := emptyRoute(r.services.get(of.series()))
	s.budget, s.other = r.budget, r.other
	return s
}

func (r *requests) newService(service) *serviceSeries {
	return &serviceSeries{kinds: r.kinds, budget: r.budget, other: r.other.service}
}

func (r *requests) collect(out chan<- prometheus.Metric) {
	r.routes.each(func(of Route, s *routeSeries) { r.collectRoute(of, s, out) })
	r.services.each(func(of service, s *serviceSeries) { s.collect(of, out) })
	all := Route{Ingress: other, Service: other, Host: other}
	r.collectRoute(all, r.other, out)
	r.other.service.collect(all.series(), out)
}

func (r *requests) collectRoute(of Route, s *routeSeries, out chan<- prometheus.Metric) {
	for a, count := range *s.counters.Load() {
		if s.counts(a, count) {
			out <- counted(r.total, count, of.Namespace, of.Ingress, of.Service, of.Host, a.method, a.code, a.reason)
		}
	}
}

// Routes calls f for each route that has series and that an Ingress declares, in no order.
func (m *Metrics) Routes(f func(Route)) {
	m.requests.routes.each(func(r Route, _ *routeSeries) {
		if r.Ingress != "" {
			f(r)
		}
	})
}

// Retain drops the series of routes that are not wanted any more, since they left the table, and the histograms that no route is
// left for. What no Ingress claimed is kept. A request of the old table that is still running may bring a series back; it goes with
// the next Retain.
func (m *Metrics) Retain(wanted func(Route) bool) {
	services, backends := map[service]bool{}, map[backend]bool{}
	m.requests.routes.keep(func(r Route) bool {
		if r.Ingress != "" && !wanted(r) {
			return false
		}
		services[r.series()] = true
		backends[backend{r.Namespace, r.Service}] = true
		return true
	}, (*routeSeries).drop)
	m.requests.services.keep(func(s service) bool { return services[s] }, (*serviceSeries).drop)
	m.picks.retain(backends)
}

// answer is how a request ended, in bounded words.
type answer struct{ method, code, reason string }

// other is what a is counted as where its route has no place: clients choose methods.
func (a answer) other() answer { return answer{other, a.code, a.reason} }

// method bounds the label: clients may send any token.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
		http.MethodConnect, http.MethodTrace:
		return m
	}
	return other
}
