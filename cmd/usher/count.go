package main

import (
	"maps"
	"slices"

	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/object"
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
	hosts   map[metrics.Route]string // of a route that counts into the series, for each series there is
	// into holds what the routes of a host count into, of the hosts that were looked at. Hosts are never written, so it holds for as long
	// as the Table has that host.
	into map[*route.Host]map[metrics.Route]bool
}

func newCounter(m *metrics.Metrics, byHost bool) *counter {
	return &counter{metrics: m, byHost: byHost, hosts: map[metrics.Route]string{}, into: map[*route.Host]map[metrics.Route]bool{}}
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

// routes drops the series that no route of t counts into any more. Each series is most likely where it was, and most routes have none,
// having had no request yet: all routes are looked through only for the Ingresses of series that are not.
func (c *counter) routes(t *route.Table) {
	maps.DeleteFunc(c.into, func(h *route.Host, _ map[metrics.Route]bool) bool { return t.Hosts.Find(h.Name) != h })
	moved := map[object.Key]bool{}
	c.metrics.Routes(func(s metrics.Route) {
		host, known := c.hosts[s]
		if !known || !c.counts(t, t.Hosts.Find(host), s) {
			delete(c.hosts, s)
			moved[object.Key{Namespace: s.Namespace, Name: s.Ingress}] = true
		}
	})
	if len(moved) == 0 {
		return
	}
	found := map[metrics.Route]string{}
	find := func(r *route.Route) {
		if r != nil && moved[object.Key{Namespace: r.Ingress.Namespace, Name: r.Ingress.Name}] {
			for _, s := range c.series(t, r) {
				found[s] = r.Host
			}
		}
	}
	find(t.Default)
	for _, h := range t.Hosts.All() {
		eachRoute(h, find)
	}
	c.metrics.Retain(func(s metrics.Route) bool {
		if host, ok := found[s]; ok {
			c.hosts[s] = host
		}
		_, known := c.hosts[s]
		return known || !moved[object.Key{Namespace: s.Namespace, Name: s.Ingress}] // it came a moment ago
	})
}

// counts reports whether requests that a host answers, or that no host claims, may be counted into s.
func (c *counter) counts(t *route.Table, host *route.Host, s metrics.Route) bool {
	if t.Default != nil && slices.Contains(c.series(t, t.Default), s) {
		return true
	}
	into := c.into[host]
	if into == nil && host != nil {
		into = map[metrics.Route]bool{}
		eachRoute(host, func(r *route.Route) {
			if r != nil {
				for _, s := range c.series(t, r) {
					into[s] = true
				}
			}
		})
		c.into[host] = into
	}
	return into[s]
}

// series are those that requests of a route are counted into: by its backend, its canary's, or none if they end before one is picked.
func (c *counter) series(t *route.Table, r *route.Route) []metrics.Route {
	all := []metrics.Route{series(r, t.Backend(r)), series(r, nil)}
	if canary := r.Canary; canary != nil {
		all = append(all, series(r, t.Backend(&route.Route{Backend: canary.Backend})))
	}
	if !c.byHost {
		for i := range all {
			all[i].Host = ""
		}
	}
	return all
}

func eachRoute(h *route.Host, do func(*route.Route)) {
	if h == nil {
		return
	}
	do(h.Default)
	for _, r := range h.Paths.All() {
		do(r)
	}
}
