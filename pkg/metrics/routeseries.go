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
	budget   *budget      // nil is without bound
	other    *routeSeries // counts what there is no place for; nil with the budget
	counters atomic.Pointer[map[answer]*atomic.Uint64]
	write    sync.Mutex
	own      int  // series taken from the budget
	gone     bool // dropped, so that nothing is taken for it any more
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
	next[a] = s.make(a)
	s.counters.Store(&next)
	return next[a]
}

func (s *routeSeries) make(a answer) *atomic.Uint64 {
	switch {
	case s.budget == nil || s.gone:
		return new(atomic.Uint64)
	case s.budget.take(1):
		s.own++
		return new(atomic.Uint64)
	}
	return s.other.counter(a.other())
}

// counts reports whether c is a counter of s itself.
func (s *routeSeries) counts(a answer, c *atomic.Uint64) bool {
	return s.other == nil || (*s.other.counters.Load())[a.other()] != c
}

// drop gives back what s took.
func (s *routeSeries) drop() {
	s.write.Lock()
	defer s.write.Unlock()
	s.budget.release(s.own)
	s.own, s.gone = 0, true
}

// histogramKinds are the histograms that every service has.
type histogramKinds struct {
	duration, upstream, received, sent *prometheus.Desc
	seconds, upstreamSeconds, bytes    *bounds
}

func newHistogramKinds(m *Metrics, o Options) *histogramKinds {
	labels := []string{"ingress_namespace", "ingress", "service", "status_class"}
	seconds, upstream, bytes := inSeconds(o.durationBuckets()), inSeconds(o.TimeBuckets), inBytes(o.LengthBuckets)
	return &histogramKinds{
		duration: m.describe(seconds.kind(), "request_duration_seconds", "Time from a request's head to the end of its answer.", labels...),
		upstream: m.describe(upstream.kind(), "upstream_duration_seconds", "Of that, time until the endpoint's answer began, tries that failed "+
			"included. A histogram with --time-buckets.", labels...),
		received: m.describe(bytes.kind(), "request_size_bytes", "Size of request bodies. A histogram with --length-buckets.", labels...),
		sent:     m.describe(bytes.kind(), "response_size_bytes", "Size of answers' bodies. A histogram with --length-buckets.", labels...),
		seconds:  seconds, upstreamSeconds: upstream, bytes: bytes,
	}
}

func (k *histogramKinds) descs() []*prometheus.Desc {
	return []*prometheus.Desc{k.duration, k.upstream, k.received, k.sent}
}

// series is how many lines of a scrape one class of status takes.
func (k *histogramKinds) series() int {
	return k.seconds.series() + k.upstreamSeconds.series() + 2*k.bytes.series()
}

// serviceSeries are the histograms of one Service of one Ingress, by class of status, since errors that come at once would make
// everything look fast.
type serviceSeries struct {
	kinds   *histogramKinds
	budget  *budget        // nil is without bound
	other   *serviceSeries // counts what there is no place for; nil with the budget
	classes [6]atomic.Pointer[classSeries]
	write   sync.Mutex
	own     int // series taken from the budget
	gone    bool
}

type classSeries struct{ duration, upstream, received, sent histogram }

func (s *serviceSeries) class(status int) *classSeries {
	at := &s.classes[classOf(status)]
	if c := at.Load(); c != nil {
		return c
	}
	s.write.Lock()
	defer s.write.Unlock()
	if at.Load() == nil {
		at.Store(s.make(status))
	}
	return at.Load()
}

func (s *serviceSeries) make(status int) *classSeries {
	k := s.kinds
	if s.budget != nil && !s.gone {
		if !s.budget.take(k.series()) {
			return s.other.class(status)
		}
		s.own += k.series()
	}
	return &classSeries{newHistogram(k.seconds), newHistogram(k.upstreamSeconds), newHistogram(k.bytes), newHistogram(k.bytes)}
}

// drop gives back what s took.
func (s *serviceSeries) drop() {
	s.write.Lock()
	defer s.write.Unlock()
	s.budget.release(s.own)
	s.own, s.gone = 0, true
}

func (s *serviceSeries) collect(of service, out chan<- prometheus.Metric) {
	for class := range s.classes {
		c := s.classes[class].Load()
		if c == nil || s.other != nil && c == s.other.classes[class].Load() {
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
