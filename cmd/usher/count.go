package main

import (
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
)

// requests hands what the proxy tells to the metrics.
type requests struct {
	metrics *metrics.Metrics
	byHost  bool
}

// Picked implements proxy.Observer.
func (o *requests) Picked(b *route.Backend, _ *pool.Endpoint) {
	o.metrics.Picked(b.Namespace, b.Service)
}

// Ejected implements proxy.Observer.
func (o *requests) Ejected(b *route.Backend) { o.metrics.Ejected(b.Namespace, b.Service) }

// Mirrored implements proxy.Observer.
func (o *requests) Mirrored(outcome string) { o.metrics.Mirrored(outcome) }

// Retried implements proxy.Observer.
func (o *requests) Retried(b *route.Backend, after policy.Reason) {
	o.metrics.Retried(b.Namespace, b.Service, string(after))
}

// Streamed implements proxy.Observer.
func (o *requests) Streamed(kind string, r *proxy.Record) {
	o.metrics.Streamed(kind, string(r.Reason), r.Received, r.Sent)
}

// Done implements proxy.Observer.
func (o *requests) Done(r *proxy.Record) {
	m := metrics.Request{Method: r.Method, Status: r.Status, Reason: string(r.Reason), Duration: r.Duration, Upstream: r.Upstream,
		Received: r.Received, Sent: r.Sent}
	if r.Route != nil {
		m.Route = series(r.Route, r.Backend)
		if !o.byHost {
			m.Host = ""
		}
	}
	o.metrics.Request(&m)
}

// series names the route in metrics.
func series(r *route.Route, b *route.Backend) metrics.Route {
	s := metrics.Route{Namespace: r.Ingress.Namespace, Ingress: r.Ingress.Name, Host: r.Host}
	if b != nil {
		s.Service = b.Service
	}
	return s
}

// counter keeps the metrics of objects to what the Table holds. What a Table shares with the last one is not looked at again.
type counter struct {
	metrics *metrics.Metrics
	byHost  bool
	last    *route.Table
}

func (c *counter) publish(t *route.Table) {
	if c.last == nil || c.last.Certificates != t.Certificates {
		c.certificates(t)
	}
	if c.last == nil || c.last.Hosts != t.Hosts || c.last.Default != t.Default {
		c.routes(t)
	}
	c.last = t
}

func (c *counter) certificates(t *route.Table) {
	var list []metrics.Certificate
	for _, cert := range t.Certificates.All() {
		m := metrics.Certificate{Namespace: cert.Secret.Namespace, Secret: cert.Secret.Name, NotAfter: cert.Until}
		if len(cert.Names) > 0 {
			m.Host = cert.Names[0]
		}
		list = append(list, m)
	}
	c.metrics.Certificates(list)
}

func (c *counter) routes(t *route.Table) {
	wanted := map[metrics.Route]bool{}
	want := func(r *route.Route) {
		if r == nil {
			return
		}
		for _, b := range []*route.Backend{t.Backend(r), nil} { // a request that ends before its backend is looked at has none
			s := series(r, b)
			if !c.byHost {
				s.Host = ""
			}
			wanted[s] = true
		}
	}
	want(t.Default)
	for _, h := range t.Hosts.All() {
		want(h.Default)
		for _, r := range h.Paths.All() {
			want(r)
		}
	}
	c.metrics.Retain(func(r metrics.Route) bool { return wanted[r] })
}
