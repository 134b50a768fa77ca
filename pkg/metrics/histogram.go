package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper ends of a histogram's buckets in whole units (nanoseconds, bytes), and how many units make one of Prometheus's
// (seconds, bytes).
type bounds struct {
	upper []int64
	unit  float64
}

// inSeconds are ingress-nginx's buckets for durations, and two more at the fast end, where a request within a cluster belongs.
func inSeconds() *bounds {
	b := &bounds{unit: float64(time.Second)}
	for _, ms := range []int64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000} {
		b.upper = append(b.upper, ms*int64(time.Millisecond))
	}
	return b
}

func inBytes() *bounds {
	return &bounds{unit: 1, upper: []int64{100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000}}
}

// histogram counts integers without a lock and without floating point: one search and two additions. It is cheaper than the client
// library's, which keeps sum and buckets consistent with each other while it is scraped; here a scrape may miss the sum of an
// observation of the same nanosecond.
type histogram struct {
	bounds *bounds
	counts []atomic.Uint64 // per bucket, the last one is +Inf
	sum    atomic.Int64
}

func newHistogram(b *bounds) histogram {
	return histogram{bounds: b, counts: make([]atomic.Uint64, len(b.upper)+1)}
}

func (h *histogram) observe(v int64) {
	i, upper := 0, h.bounds.upper
	for i < len(upper) && v > upper[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

func (h *histogram) empty() bool {
	for i := range h.counts {
		if h.counts[i].Load() > 0 {
			return false
		}
	}
	return true
}

func (h *histogram) metric(desc *prometheus.Desc, labels []string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.bounds.upper))
	var total uint64
	for i := range h.counts {
		total += h.counts[i].Load()
		if i < len(h.bounds.upper) {
			buckets[float64(h.bounds.upper[i])/h.bounds.unit] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, float64(h.sum.Load())/h.bounds.unit, buckets, labels...)
}
