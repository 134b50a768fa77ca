package main

import (
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
)

// TestCounter: a series is there for as long as a route of any host counts into it.
func TestCounter(t *testing.T) {
	backends := []*route.Backend{{Namespace: "demo", Service: "old"}, {Namespace: "demo", Service: "new"}}
	table := func(routes ...*route.Route) *route.Table {
		var hosts []*route.Host
		for _, r := range routes {
			r.Ingress, r.Origin.Object = policy.Ref{Kind: "Ingress", Namespace: "demo", Name: r.Path[1:]}, policy.Ref{}
			hosts = append(hosts, &route.Host{Name: r.Host, Paths: route.NewPaths([]*route.Route{r})})
		}
		return &route.Table{Hosts: route.NewHosts(hosts), Backends: backends, Certificates: &route.Certificates{}}
	}
	old := func(host string) *route.Route { return &route.Route{Host: host, Path: "/shop", Type: route.Prefix} }
	blog := &route.Route{Host: "blog.example", Path: "/blog", Type: route.Prefix, Backend: 1}
	canary := &route.Route{Host: "a.example", Path: "/shop", Type: route.Prefix, Backend: 1, Canary: &route.Canary{}}
	for _, byHost := range []bool{false, true} {
		m := metrics.New(metrics.Build{}, metrics.Options{})
		c, requests := newCounter(m, byHost), &requests{metrics: m, byHost: byHost}
		host := func(name string) string {
			if !byHost {
				name = ""
			}
			return name
		}
		for i, step := range []struct {
			table *route.Table
			want  []string // series afterwards, when all routes had a request before
		}{
			{table(old("a.example"), old("b.example"), blog), []string{"shop old " + host("a.example"), "shop old " + host("b.example"), "blog new " + host("blog.example")}},
			{table(old("b.example"), blog), []string{"shop old " + host("b.example"), "blog new " + host("blog.example")}},
			{table(canary, blog), []string{"shop old " + host("a.example"), "blog new " + host("blog.example")}},
			{table(blog), []string{"blog new " + host("blog.example")}},
			{table(), nil},
		} {
			for _, s := range step.want {
				f := strings.Fields(s + " ")
				r := &route.Route{Ingress: policy.Ref{Namespace: "demo", Name: f[0]}, Host: strings.Join(f[2:], "")}
				requests.Done(&proxy.Record{Method: "GET", Status: 200, Route: r, Backend: backends[strings.Index("old new", f[1])/4]})
			}
			c.publish(step.table)
			want := slices.Compact(slices.Sorted(slices.Values(step.want)))
			if got := counted(m); !slices.Equal(got, want) {
				t.Errorf("by host %t, step %d: series %q, want %q", byHost, i, got, want)
			}
		}
	}
}

var sample = regexp.MustCompile(`usher_requests_total\{.*`)
var label = regexp.MustCompile(`(ingress|service|host)="([^"]*)"`)

// counted are the series of requests, as "ingress service host".
func counted(m *metrics.Metrics) (all []string) {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range sample.FindAllString(w.Body.String(), -1) {
		of := map[string]string{}
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			of[l[1]] = l[2]
		}
		all = append(all, of["ingress"]+" "+of["service"]+" "+of["host"])
	}
	slices.Sort(all)
	return all
}
