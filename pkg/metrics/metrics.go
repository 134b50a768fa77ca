// Package metrics counts what Usher does, for Prometheus.
//
// The packages that have something to tell declare small Observer interfaces of plain values, and Metrics satisfies them; it imports
// none of ours. Every label has a bounded set of values: names of objects in the table, words from closed lists, never anything that
// a client chose. Series of an Ingress or Service that left the table are dropped, see Retain.
//
// A request is counted without allocating and without looking labels up: see requests.go for how.
//
// Names begin with "usher_". Catalogue lists them all with their help, and docs/metrics.md is made from it. The label that names an
// Ingress's namespace is "ingress_namespace", since Prometheus sets "namespace" itself, to that of the scraped pod.
package metrics

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Build is what the metric build_info says.
type Build struct{ Version, Revision string }

// Metrics are all metrics of a process, with their own registry. Make it with New; its methods are safe for concurrent use.
type Metrics struct {
	registry  *prometheus.Registry
	catalogue []Description

	budget      *budget
	requests    *requests
	picks       *picks
	table       table
	certs       certificates
	connections connections
	cluster     cluster
}

// New makes the metrics of a process.
func New(b Build, o Options) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), budget: newBudget(o.maxSeries())}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.requests = newRequests(m, o)
	m.picks = newPicks(m)
	m.table = newTable(m)
	m.certs = newCertificates(m)
	m.connections = newConnections(m)
	m.cluster = newCluster(m)
	info := m.gauges("build_info", "Always 1; the labels tell which Usher this is.", "version", "revision", "go_version")
	info.WithLabelValues(b.Version, b.Revision, runtime.Version()).Set(1)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}
