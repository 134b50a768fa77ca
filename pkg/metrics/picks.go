package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// picks counts tries: how often a Service's endpoints were asked, and why another one was.
type picks struct {
	picked  tallies[backend]
	retried tallies[retry]
	ejected tallies[backend]
	states  atomic.Pointer[func() map[string]int]

	picksDesc   *prometheus.Desc
	retriesDesc *prometheus.Desc
	ejectsDesc  *prometheus.Desc
	statesDesc  *prometheus.Desc
}

// backend is a Service, in the namespace of its Ingress.
type backend struct{ namespace, service string }

func (b backend) hashParts() (string, string) { return b.namespace, b.service }

type retry struct {
	backend
	reason string
}

func newPicks(m *Metrics) *picks {
	all := backend{service: other}
	ofAll := func(backend) backend { return all }
	p := &picks{
		picked:  newTallies(m.budget, ofAll),
		retried: newTallies(m.budget, func(r retry) retry { return retry{all, r.reason} }),
		ejected: newTallies(m.budget, ofAll),
	}
	p.picksDesc = m.describe("counter", "endpoint_picks_total", "Times an endpoint was chosen to try a request on.", "ingress_namespace", "service")
	p.retriesDesc = m.describe("counter", "retries_total", "Times another endpoint was tried, by what was wrong with the one before.",
		"ingress_namespace", "service", "reason")
	p.ejectsDesc = m.describe("counter", "endpoint_ejections_total", "Times an endpoint was left alone for a while, since requests to it kept failing.",
		"ingress_namespace", "service")
	p.statesDesc = m.describe("gauge", "endpoints", "Endpoints that requests have used, by state: ok, failing (the last requests did), ejected, probing (to see "+
		"whether it is over), unhealthy (by a health check).", "state")
	m.collected([]*prometheus.Desc{p.picksDesc, p.retriesDesc, p.ejectsDesc, p.statesDesc}, p.collect)
	return p
}

// Picked counts a try of an endpoint of a Service.
func (m *Metrics) Picked(namespace, service string) {
	m.picks.picked.add(backend{namespace, service})
}

// Retried counts a further try after a failure.
func (m *Metrics) Retried(namespace, service, reason string) {
	m.picks.retried.add(retry{backend{namespace, service}, reason})
}

// Ejected counts an endpoint of a Service that is left alone for a while.
func (m *Metrics) Ejected(namespace, service string) {
	m.picks.ejected.add(backend{namespace, service})
}

// EndpointsFrom sets who is asked at each scrape how many endpoints there are in each state.
func (m *Metrics) EndpointsFrom(states func() map[string]int) { m.picks.states.Store(&states) }

func (p *picks) collect(out chan<- prometheus.Metric) {
	p.picked.each(func(b backend, count *atomic.Uint64) {
		out <- counted(p.picksDesc, count, b.namespace, b.service)
	})
	p.retried.each(func(r retry, count *atomic.Uint64) {
		out <- counted(p.retriesDesc, count, r.namespace, r.service, r.reason)
	})
	p.ejected.each(func(b backend, count *atomic.Uint64) {
		out <- counted(p.ejectsDesc, count, b.namespace, b.service)
	})
	if states := p.states.Load(); states != nil {
		for state, n := range (*states)() {
			out <- prometheus.MustNewConstMetric(p.statesDesc, prometheus.GaugeValue, float64(n), state)
		}
	}
}

func (p *picks) retain(wanted map[backend]bool) {
	p.picked.keep(func(b backend) bool { return wanted[b] })
	p.ejected.keep(func(b backend) bool { return wanted[b] })
	p.retried.keep(func(r retry) bool { return wanted[r.backend] })
}

func counted(desc *prometheus.Desc, count *atomic.Uint64, labels ...string) prometheus.Metric {
	clean(labels)
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(count.Load()), labels...)
}
