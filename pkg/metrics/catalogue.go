package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Description is one metric, for the documentation.
type Description struct {
	Name   string
	Type   string // "counter", "gauge" or "histogram"
	Labels []string
	Help   string
}

// Catalogue lists the metrics that Usher makes itself, by name. The go_ and process_ ones of Prometheus's client come besides.
func (m *Metrics) Catalogue() []Description {
	list := slices.Clone(m.catalogue)
	slices.SortFunc(list, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return list
}

const namespace = "usher"

// describe notes a metric for the Catalogue. All metrics are made by the functions below, so none is missing there.
func (m *Metrics) describe(kind, name, help string, labels ...string) *prometheus.Desc {
	name = namespace + "_" + name
	m.catalogue = append(m.catalogue, Description{Name: name, Type: kind, Labels: labels, Help: help})
	return prometheus.NewDesc(name, help, labels, nil)
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	m.describe("counter", name, help, labels...)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return m.counters(name, help).WithLabelValues()
}

func (m *Metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	m.describe("gauge", name, help, labels...)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	return m.gauges(name, help).WithLabelValues()
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	m.describe("histogram", name, help)
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

// collected registers a metric whose samples are made when it is scraped. collect must not keep its argument.
func (m *Metrics) collected(descs []*prometheus.Desc, collect func(chan<- prometheus.Metric)) {
	m.registry.MustRegister(&collector{descs, collect})
}

type collector struct {
	descs   []*prometheus.Desc
	collect func(chan<- prometheus.Metric)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) { c.collect(out) }
