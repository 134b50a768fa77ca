package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// routeSeries are the counters of one route, by answer. The map is replaced when a new kind of answer comes, never written.
type routeSeries struct {
	service  *serviceSeries
	counters atomic.Pointer[map[answer]*atomic.Uint64]
	write    sync.Mutex
}

func (s *routeSeries) counter(a answer) *atomic.Uint64 {
	if c, ok := (*s.counters.Load())[a]; ok {
		return c
	}
	s.write.Lock()
	defer s.write.Unlock()
	now := *s.counters.Load()
	if c, ok := now[a]; ok {
		return c
	}
	next := make(map[answer]*atomic.Uint64, len(now)+1)
	for k, v := range now {
		next[k] = v
	}
	next[a] = new(atomic.Uint64)
	s.counters.Store(&next)
	return next[a]
}

// histogramKinds are the histograms that every service has.
type histogramKinds struct {
	duration, upstream, received, sent *prometheus.Desc
	seconds, bytes                     *bounds
}

func newHistogramKinds(m *Metrics) *histogramKinds {
	labels := []string{"ingress_namespace", "ingress", "service", "status_class"}
	return &histogramKinds{
		duration: m.describe("histogram", "request_duration_seconds", "Time from a request's head to the end of its answer.", labels...),
		upstream: m.describe("histogram", "upstream_duration_seconds", "Of that, time until the endpoint's answer began, tries that failed included.", labels...),
		received: m.describe("histogram", "request_size_bytes", "Size of request bodies.", labels...),
		sent:     m.describe("histogram", "response_size_bytes", "Size of answers' bodies.", labels...),
		seconds:  inSeconds(),
		bytes:    inBytes(),
	}
}

func (k *histogramKinds) descs() []*prometheus.Desc {
	return []*prometheus.Desc{k.duration, k.upstream, k.received, k.sent}
}

// serviceSeries are the histograms of one Service of one Ingress, by class of status, since errors that come at once would make
// everything look fast.
type serviceSeries struct {
	kinds   *histogramKinds
	classes [6]atomic.Pointer[classSeries]
}

type classSeries struct{ duration, upstream, received, sent histogram }

func (s *serviceSeries) class(status int) *classSeries {
	at := &s.classes[classOf(status)]
	if c := at.Load(); c != nil {
		return c
	}
	k := s.kinds
	c := &classSeries{newHistogram(k.seconds), newHistogram(k.seconds), newHistogram(k.bytes), newHistogram(k.bytes)}
	if at.CompareAndSwap(nil, c) {
		return c
	}
	return at.Load()
}

func (s *serviceSeries) collect(of service, out chan<- prometheus.Metric) {
	for class := range s.classes {
		c := s.classes[class].Load()
		if c == nil {
			continue
		}
		labels := []string{of.namespace, of.ingress, of.service, strconv.Itoa(class) + "xx"}
		clean(labels)
		out <- c.duration.metric(s.kinds.duration, labels)
		if !c.upstream.empty() { // most errors are made before an endpoint is asked
			out <- c.upstream.metric(s.kinds.upstream, labels)
		}
		out <- c.received.metric(s.kinds.received, labels)
		out <- c.sent.metric(s.kinds.sent, labels)
	}
}

// classOf is the first digit of a status, 5 for what is none.
func classOf(status int) int {
	if status < 100 || status > 599 {
		return 5
	}
	return status / 100
}

// code bounds the label: an application may answer with any number, which is then told by its class.
func code(status int) string {
	if status < len(codes) && status >= 0 && codes[status] != "" {
		return codes[status]
	}
	return strconv.Itoa(classOf(status)) + "xx"
}

// codes are the statuses that have a name (RFC 9110 section 15 and the registry), and nginx's 499.
var codes = codeNames()

func codeNames() (names [600]string) {
	for status := 100; status < len(names); status++ {
		if http.StatusText(status) != "" || status == 499 {
			names[status] = strconv.Itoa(status)
		}
	}
	return names
}
