package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// connections is about what happens below HTTP.
type connections struct {
	opened     *prometheus.CounterVec
	crowded    *prometheus.CounterVec
	handshakes *prometheus.CounterVec
	headers    *prometheus.CounterVec
	http2      *prometheus.CounterVec
	refused    *prometheus.CounterVec
	mirrored   *prometheus.CounterVec
	streams    *prometheus.CounterVec
	carried    *prometheus.CounterVec
	states     *states
	dropped    *atomic.Pointer[func() uint64] // of the access log
	unlogged   *atomic.Pointer[func() uint64] // of the controller's log
}

// states asks for the connections when it is scraped.
type states struct {
	ask atomic.Pointer[func(tell func(listener, state string, count int64))]
}

func newConnections(m *Metrics) connections {
	c := connections{
		opened: m.counters("connections_opened_total", "Client connections accepted.", "listener"),
		crowded: m.counters("connections_refused_total", "Client connections closed at once, since --max-connections were open. They are not in "+
			"usher_connections_opened_total.", "listener"),
		handshakes: m.counters("tls_handshakes_total", "TLS handshakes by result: ok, resumed (ok, by a session ticket), or why they failed. Port scans and health "+
			"checks show up as client-left and not-tls; proxy-header is a load balancer that speaks PROXY protocol where it is not expected.", "result"),
		headers: m.counters("proxy_protocol_headers_total", "Connections that had to begin with a PROXY protocol header, by what became "+
			"of it: ok, local (without an address), or why the connection was closed: missing, malformed, timeout, client-left, untrusted.", "result"),
		http2: m.counters("http2_errors_total", "Violations of HTTP/2 by clients, by a word for each, such as bad-pseudo-field, window-overflow or too-many-resets.", "kind"),
		refused: m.counters("requests_refused_total", "Requests answered before any route was looked for, since they were malformed, "+
			"ambiguous, too large or too slow.", "reason"),
		mirrored: m.counters("mirrored_requests_total", "Copies of requests for a mirror-target: sent, dropped since there was no place or "+
			"the body was too large, or failed.", "outcome"),
		streams: m.counters("streams_total", "Connections passed on as they are, when they have ended: of hosts with ssl-passthrough, and of TCP "+
			"services. The reason is empty, or why none of it was passed on.", "kind", "reason"),
		carried: m.counters("stream_bytes_total", "Bytes of such connections: received from clients, or sent to them.", "kind", "direction"),
		states:  &states{},
		dropped: m.asked("access_log_dropped_total", "Lines of the access log that were dropped, since whoever reads stdout was so slow that 4 MiB of "+
			"them were waiting."),
		unlogged: m.asked("log_dropped_total", "Lines of the controller's own log that were dropped, since whoever reads stderr was so slow that 4 MiB of "+
			"them were waiting."),
	}
	desc := m.describe("gauge", "connections", "Client connections open now, by state: handshake (PROXY header, TLS), active (a request in flight), "+
		"idle, upgraded (WebSocket and the like).", "listener", "state")
	m.collected([]*prometheus.Desc{desc}, func(out chan<- prometheus.Metric) {
		if ask := c.states.ask.Load(); ask != nil {
			(*ask)(func(listener, state string, count int64) {
				out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(count), listener, state)
			})
		}
	})
	return c
}

// ConnectionsFrom sets who is asked for the open connections at each scrape: the server's method Connections.
func (m *Metrics) ConnectionsFrom(ask func(tell func(listener, state string, count int64))) {
	m.connections.states.ask.Store(&ask)
}

// asked is a counter whose value is asked for at each scrape, once it is set whom to ask.
func (m *Metrics) asked(name, help string) *atomic.Pointer[func() uint64] {
	from, desc := &atomic.Pointer[func() uint64]{}, m.describe("counter", name, help)
	m.collected([]*prometheus.Desc{desc}, func(out chan<- prometheus.Metric) {
		if ask := from.Load(); ask != nil {
			out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64((*ask)()))
		}
	})
	return from
}

// AccessLogDropsFrom sets who is asked at each scrape how many lines of the access log were dropped.
func (m *Metrics) AccessLogDropsFrom(ask func() uint64) { m.connections.dropped.Store(&ask) }

// LogDropsFrom sets who is asked how many lines of the controller's log were dropped.
func (m *Metrics) LogDropsFrom(ask func() uint64) { m.connections.unlogged.Store(&ask) }

// ConnectionOpened counts an accepted connection.
func (m *Metrics) ConnectionOpened(listener string) {
	m.connections.opened.WithLabelValues(listener).Inc()
}

// ConnectionRefused counts a connection that was closed since too many were open.
func (m *Metrics) ConnectionRefused(listener string) {
	m.connections.crowded.WithLabelValues(listener).Inc()
}

// HandshakeDone counts a TLS handshake by its result; see package server for the list.
func (m *Metrics) HandshakeDone(result string) {
	m.connections.handshakes.WithLabelValues(result).Inc()
}

// ProxyHeader counts a PROXY protocol header by what became of it.
func (m *Metrics) ProxyHeader(result string) { m.connections.headers.WithLabelValues(result).Inc() }

// Mirrored counts a copy of a request by what became of it.
func (m *Metrics) Mirrored(outcome string) {
	m.connections.mirrored.WithLabelValues(outcome).Inc()
}

// Streamed counts a connection that was passed on as it is, or was not for a reason.
func (m *Metrics) Streamed(kind, reason string, received, sent int64) {
	m.connections.streams.WithLabelValues(kind, reason).Inc()
	m.connections.carried.WithLabelValues(kind, "received").Add(float64(received))
	m.connections.carried.WithLabelValues(kind, "sent").Add(float64(sent))
}

// HTTP2Error counts a violation of HTTP/2.
func (m *Metrics) HTTP2Error(kind string) { m.connections.http2.WithLabelValues(kind).Inc() }

// RequestRefused counts a request that was refused before it was one; see package http1 for the reasons.
func (m *Metrics) RequestRefused(reason string) { m.connections.refused.WithLabelValues(reason).Inc() }
