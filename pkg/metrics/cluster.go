package metrics

import "github.com/prometheus/client_golang/prometheus"

// cluster is about the API server and the other replicas.
type cluster struct {
	connected prometheus.Gauge
	errors    *prometheus.CounterVec
	refused   *prometheus.GaugeVec
	leader    prometheus.Gauge
}

func newCluster(m *Metrics) cluster {
	return cluster{
		connected: m.gauge("api_server_connected", "1 while the API server answers and all watches on it are alive, else 0; then the last "+
			"table goes on serving."),
		errors:  m.counters("api_server_errors_total", "Failed lists and watches, by kind of object.", "kind"),
		refused: m.gauges("api_server_refused", "Lists that Usher may not read (403) and does without, by kind of object.", "kind"),
		leader:  m.gauge("leader", "1 on the replica that writes status."),
	}
}

// APIServerConnected sets whether all watches are alive.
func (m *Metrics) APIServerConnected(yes bool) { m.cluster.connected.Set(number(yes)) }

// APIServerError counts a failed list or watch of a kind of object.
func (m *Metrics) APIServerError(kind string) { m.cluster.errors.WithLabelValues(kind).Inc() }

// APIServerRefused sets how many lists of a kind of object may not be read.
func (m *Metrics) APIServerRefused(kind string, n int) {
	m.cluster.refused.WithLabelValues(kind).Set(float64(n))
}

// Leader sets whether this replica writes status.
func (m *Metrics) Leader(yes bool) { m.cluster.leader.Set(number(yes)) }

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
