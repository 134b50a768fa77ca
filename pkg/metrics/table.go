package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// table is about the route table and how it came to be.
type table struct {
	generation  prometheus.Gauge
	swapped     prometheus.Gauge
	swaps       prometheus.Counter
	failures    prometheus.Counter
	resolve     prometheus.Histogram
	swap        prometheus.Histogram
	live        prometheus.Histogram
	diagnostics *samples
}

func newTable(m *Metrics) table {
	fast := []float64{.00001, .0001, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	return table{
		generation:  m.gauge("table_generation", "Number of the route table in use. It grows by one with each change that went live; 0 is none yet."),
		swapped:     m.gauge("table_last_swap_timestamp_seconds", "When the table in use went live, in seconds since 1970."),
		swaps:       m.counter("table_swaps_total", "Tables that went live."),
		failures:    m.counter("table_failures_total", "Turns that gave no table, so that the last one went on serving. Should stay 0; the log says why."),
		resolve:     m.histogram("table_resolve_duration_seconds", "Time to make a table from the objects.", fast),
		swap:        m.histogram("table_swap_duration_seconds", "Time to put a finished table in use. Requests do not wait for it.", fast),
		live:        m.histogram("change_to_live_seconds", "Time from a change of an object, as the object or the watch tells it, until requests are routed by it.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}),
		diagnostics: m.samples("diagnostics", "Things found wrong with the objects, now. `usher lint` prints them.", "severity", "reason"),
	}
}

// Swap is a table that went live.
type Swap struct {
	Generation uint64
	Resolve    time.Duration
	Swap       time.Duration
	Live       time.Duration // from the oldest change in it; 0 if unknown
}

// TableSwapped counts a table that went live.
func (m *Metrics) TableSwapped(s Swap) {
	m.table.generation.Set(float64(s.Generation))
	m.table.swapped.SetToCurrentTime()
	m.table.swaps.Inc()
	m.table.resolve.Observe(s.Resolve.Seconds())
	m.table.swap.Observe(s.Swap.Seconds())
	if s.Live > 0 {
		m.table.live.Observe(s.Live.Seconds())
	}
}

// TableFailed counts a turn that gave no table.
func (m *Metrics) TableFailed() { m.table.failures.Inc() }

// Diagnosed is a kind of Diagnostic and how many there are.
type Diagnosed struct {
	Severity, Reason string
	Count            int
}

// Diagnostics replaces the counts of Diagnostics.
func (m *Metrics) Diagnostics(all []Diagnosed) {
	list := make([]sample, 0, len(all))
	for _, d := range all {
		list = append(list, sample{float64(d.Count), []string{d.Severity, d.Reason}})
	}
	m.table.diagnostics.replace(list)
}
