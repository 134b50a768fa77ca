package metrics

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// samples is a gauge whose values are known all at once and replaced all at once, so that those of what is gone go too, and a scrape
// never sees half of them.
type samples struct {
	desc *prometheus.Desc
	now  atomic.Pointer[map[string]sample]
}

type sample struct {
	value  float64
	labels []string
}

func (m *Metrics) samples(name, help string, labels ...string) *samples {
	s := &samples{desc: m.describe("gauge", name, help, labels...)}
	m.collected([]*prometheus.Desc{s.desc}, s.collect)
	return s
}

// replace takes over list. Of several samples with the same labels the least counts, which for expiry is the one that matters.
func (s *samples) replace(list []sample) {
	next := make(map[string]sample, len(list))
	for _, v := range list {
		clean(v.labels)
		key := strings.Join(v.labels, "\x00")
		if before, ok := next[key]; !ok || v.value < before.value {
			next[key] = v
		}
	}
	s.now.Store(&next)
}

// clean makes labels valid UTF-8, without which a whole scrape would fail.
func clean(labels []string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
}

func (s *samples) collect(out chan<- prometheus.Metric) {
	if list := s.now.Load(); list != nil {
		for _, v := range *list {
			out <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, v.value, v.labels...)
		}
	}
}
