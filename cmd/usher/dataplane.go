package main

import (
	"context"
	"io"
	"net/http"

	"github.com/usher-ingress/usher/pkg/admin"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/server"
	"go.uber.org/zap"
)

// dataPlane is the request path with what it remembers, and how the loop, the admin port and the metrics are tied to it.
type dataPlane struct {
	proxy   *proxy.Proxy
	pool    *pool.Pool
	metrics *metrics.Metrics
	lines   *proxy.LineLog // nil without an access log
}

func newDataPlane(s *service, c *cluster, accessLog io.Writer) (*dataPlane, error) {
	options, err := s.flags.objects.resolveOptions()
	if err != nil {
		return nil, err
	}
	d := &dataPlane{
		metrics: s.metrics,
		pool:    pool.New(pool.Options{Allow: options.AllowUpstream, AllowLoopback: options.AllowLoopback, DenyExtra: c.deny, Own: s.listeners}),
	}
	po := proxy.Options{
		Tables:     s.live,
		Pool:       d.pool,
		Observer:   &requests{metrics: s.metrics, byHost: s.flags.metrics.byHost},
		HideReason: !s.flags.reasonHeader,
		Panicked: func(r *http.Request, value any, stack []byte) {
			s.log.Error("a request made Usher panic", zap.Any("panic", value), zap.String("host", r.Host), zap.ByteString("stack", stack))
		},
	}
	if d.lines = s.flags.logs.lines(accessLog); d.lines != nil {
		po.Log = d.lines
		s.metrics.AccessLogDropsFrom(d.lines.Dropped)
	}
	d.proxy = proxy.New(po)
	s.metrics.EndpointsFrom(d.states)
	return d, nil
}

// settle gives up what only the last Table needed right after the swap, so that connections to endpoints that left close at once;
// requests that hold the last Table do without.
func (d *dataPlane) settle(*route.Table) { d.proxy.Settle() }

// close lets go of endpoints and writes the rest of the access log, as much of it as is read until ctx ends.
func (d *dataPlane) close(ctx context.Context) {
	d.pool.Close()
	if d.lines != nil {
		_ = d.lines.Flush(ctx)
	}
}

// endpoints is what the pool remembers, for the admin port.
func (d *dataPlane) endpoints() []admin.EndpointState {
	var all []admin.EndpointState
	for _, s := range d.pool.Snapshot() {
		all = append(all, admin.EndpointState{Service: s.Service, Address: s.Address, Protocol: s.Protocol, State: s.State, InFlight: s.InFlight,
			Requests: s.Picks, Failures: s.Failed, Connections: s.Connections, Failing: s.Failures, LastFailure: proxy.LastFailure(&s)})
	}
	return all
}

// states counts the endpoints by state, for the metrics.
func (d *dataPlane) states() map[string]int {
	counts := map[string]int{"ok": 0, "failing": 0, "ejected": 0, "probing": 0, "unhealthy": 0}
	for _, s := range d.pool.Snapshot() {
		counts[s.State]++
	}
	return counts
}

// refused counts, logs and answers a request that was none.
func (d *dataPlane) refused(answer http.Header, r *http.Request, why server.Refusal) []byte {
	d.metrics.RequestRefused(why.Reason)
	return d.proxy.Refuse(answer, r, why.Status, why.Detail)
}
