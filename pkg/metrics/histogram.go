package metrics

import (
	"math"
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

func inSeconds(buckets []float64) *bounds { return newBounds(float64(time.Second), buckets) }

func inBytes(buckets []float64) *bounds { return newBounds(1, buckets) }

func newBounds(unit float64, buckets []float64) *bounds {
	b := &bounds{unit: unit}
	for _, end := range buckets {
		b.upper = append(b.upper, int64(math.Round(end*unit)))
	}
	return b
}

// kind is Prometheus's: without buckets there are only a sum and a count, and so no bucket of all.
func (b *bounds) kind() string {
	if len(b.upper) == 0 {
		return "summary"
	}
	return "histogram"
}

// series is how many lines of a scrape it takes.
func (b *bounds) series() int {
	if len(b.upper) == 0 {
		return 2
	}
	return len(b.upper) + 3
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
	sum := float64(h.sum.Load()) / h.bounds.unit
	if len(buckets) == 0 {
		return prometheus.MustNewConstSummary(desc, total, sum, nil, labels...)
	}
	return prometheus.MustNewConstHistogram(desc, total, sum, buckets, labels...)
}
