package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// FuzzLookup compares Lookup with the words of the Ingress API, read one by one. A table is text: each word is a host, "=" for Exact or
// "~" for Prefix, and a path; a path of "" is the host's default.
func FuzzLookup(f *testing.F) {
	f.Add("a.test~/ a.test~/cart a.test=/cart *.test~/x ~/", "a.test", "/cart/1")
	f.Add("a.test~/a/b/ a.test~/a a.test=/a/", "a.test", "/a/b")
	f.Add("*.test~/ b.test=/x b.test~", "b.test", "/y")
	f.Add("*.b.test~/ *.test~/", "a.b.test", "/")
	f.Add("~/a/b/c/d/e ~/a", "x", "/a/b/c/d/f")
	f.Add("~/1 ~/2 ~/3 ~/4 ~/5 ~/6 ~/7 ~/8 ~/9 ~/10 ~/11 ~/12 ~/13 ~/14 ~/15 ~/16 ~/17 ~/17/a/b", "x", "/17/a/c")
	f.Fuzz(func(t *testing.T, text, host, path string) {
		path, err := route.Normalize(path)
		if err != nil || strings.Contains(host, "*") {
			return
		}
		hosts := parseHosts(text)
		table := &route.Table{Hosts: route.NewHosts(hosts)}
		got, want := table.Lookup(route.Query{Host: host, Path: path}), slowLookup(hosts, host, path)
		if got != want {
			t.Fatalf("%q: %s%s gives %v of %v, want %v of %v", text, host, path, got.Route, got.Host, want.Route, want.Host)
		}
	})
}

func parseHosts(text string) []*route.Host {
	var hosts []*route.Host
	routes := map[string][]*route.Route{}
	for _, word := range strings.Fields(text) {
		i := strings.IndexAny(word, "=~")
		if i < 0 || strings.Contains(strings.TrimPrefix(word[:i], "*."), "*") {
			continue
		}
		name := word[:i]
		at := slices.IndexFunc(hosts, func(h *route.Host) bool { return h.Name == name })
		if at < 0 {
			at, hosts = len(hosts), append(hosts, &route.Host{Name: name})
		}
		r := &route.Route{Host: name, Path: word[i+1:], Type: route.Prefix}
		if word[i] == '=' {
			r.Type = route.Exact
		}
		if r.Path == "" {
			hosts[at].Default = r
			continue
		}
		normal, err := route.Normalize(r.Path)
		if err != nil || slices.ContainsFunc(routes[name], func(o *route.Route) bool { return samePlace(o, normal, r.Type) }) {
			continue
		}
		r.Path = normal
		routes[name] = append(routes[name], r)
	}
	for _, h := range hosts {
		h.Paths = route.NewPaths(routes[h.Name])
	}
	return hosts
}

func samePlace(r *route.Route, path string, kind route.PathType) bool {
	return r.Type == kind && (r.Path == path || kind == route.Prefix && strings.TrimSuffix(r.Path, "/") == strings.TrimSuffix(path, "/"))
}

// slowLookup reads the API: "precise matches or a wildcard ... covers only a single DNS label"; "precedence will be given first to the
// longest matching path ... then to the exact path type".
func slowLookup(hosts []*route.Host, host, path string) route.Match {
	h := slowHost(hosts, host)
	if h == nil {
		return route.Match{Reason: policy.NoHost}
	}
	var best *route.Route
	for _, r := range h.Paths.All() {
		if slowMatches(r, path) && (best == nil || slowBetter(r, best)) {
			best = r
		}
	}
	switch {
	case best != nil:
		return route.Match{Host: h, Route: best}
	case h.Default != nil:
		return route.Match{Host: h, Route: h.Default}
	}
	return route.Match{Host: h, Reason: policy.NoPath}
}

func slowHost(hosts []*route.Host, host string) *route.Host {
	var wildcard, hostless *route.Host
	for _, h := range hosts {
		if h.Name == host {
			return h
		}
		if h.Name == "" {
			hostless = h
		}
		first, rest, ok := strings.Cut(host, ".")
		if ok && first != "" && h.Name == "*."+rest {
			wildcard = h
		}
	}
	if wildcard != nil {
		return wildcard
	}
	return hostless
}

func slowMatches(r *route.Route, path string) bool {
	if r.Type == route.Exact {
		return r.Path == path
	}
	return len(elements(r.Path)) <= len(elements(path)) && slices.Equal(elements(r.Path), elements(path)[:len(elements(r.Path))])
}

func slowBetter(a, b *route.Route) bool {
	if x, y := len(elements(a.Path)), len(elements(b.Path)); a.Type == b.Type {
		return x > y
	}
	return a.Type == route.Exact
}

// elements are what stands between the slashes; a trailing slash adds none.
func elements(path string) []string {
	if path = strings.Trim(path, "/"); path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// TestDefault: what nothing claims goes to the Table's default, and keeps the host it came for.
func TestDefault(t *testing.T) {
	fallback := &route.Route{Path: "/", Type: route.Prefix}
	table := &route.Table{Hosts: route.NewHosts([]*route.Host{{Name: "a.test"}}), Default: fallback}
	if m := table.Lookup(route.Query{Host: "b.test", Path: "/"}); m.Route != fallback || m.Host != nil {
		t.Errorf("unknown host: %+v", m)
	}
	if m := table.Lookup(route.Query{Host: "a.test", Path: "/"}); m.Route != fallback || m.Host == nil {
		t.Errorf("known host, unknown path: %+v", m)
	}
	var empty route.Table
	if m := empty.Lookup(route.Query{Host: "a.test", Path: "/"}); m.Reason != policy.NoHost {
		t.Errorf("the zero Table: %+v", m)
	}
}

// TestWith: a copy of Hosts with changes leaves the original as it is.
func TestWith(t *testing.T) {
	one, two := &route.Host{Name: "a.test"}, &route.Host{Name: "*.test"}
	before := route.NewHosts([]*route.Host{one, {Name: ""}})
	after := before.With(map[string]*route.Host{"a.test": nil, "*.test": two, "": nil})
	if before.Find("a.test") != one || before.Find("b.test") == nil {
		t.Error("the original changed")
	}
	if after.Find("a.test") != two || after.Find("other") != nil || len(after.All()) != 1 {
		t.Error("the copy has not changed")
	}
}

func TestLive(t *testing.T) {
	var live route.Live
	one, two := &route.Table{}, &route.Table{}
	if live.Load() != nil || live.Swap(one) != nil || live.Swap(two) != one || live.Load() != two {
		t.Error("a swap gives the Table before")
	}
}

// TestManyPaths: many prefixes are found by an index, and give the same answers as few.
func TestManyPaths(t *testing.T) {
	host := &route.Host{Name: "a.test"}
	var routes []*route.Route
	for i := range 1000 {
		routes = append(routes, &route.Route{Path: fmt.Sprintf("/p%d/q", i), Type: route.Prefix}, &route.Route{Path: fmt.Sprintf("/p%d", i), Type: route.Exact})
	}
	host.Paths = route.NewPaths(routes)
	hosts := []*route.Host{host}
	table := &route.Table{Hosts: route.NewHosts(hosts)}
	for _, path := range []string{"/p7/q", "/p7/q/", "/p7/q/r/s", "/p7/qq", "/p7", "/p7/", "/", "/p999/q/r", "/p1000/q", "/x/y/z/very/long/path/of/elements"} {
		if got, want := table.Lookup(route.Query{Host: "a.test", Path: path}), slowLookup(hosts, "a.test", path); got != want {
			t.Errorf("%s gives %v, want %v", path, got.Route, want.Route)
		}
	}
}

// manyHosts has 10,000 hosts with five paths each.
func manyHosts() *route.Table {
	var hosts []*route.Host
	for i := range 10000 {
		h := &route.Host{Name: fmt.Sprintf("shop-%d.example.com", i)}
		h.Paths = route.NewPaths([]*route.Route{
			{Path: "/", Type: route.Prefix}, {Path: "/api", Type: route.Prefix}, {Path: "/api/v1/orders", Type: route.Prefix},
			{Path: "/static", Type: route.Prefix}, {Path: "/healthz", Type: route.Exact},
		})
		hosts = append(hosts, h)
	}
	return &route.Table{Hosts: route.NewHosts(hosts)}
}

func TestLookupAllocatesNothing(t *testing.T) {
	table := manyHosts()
	if n := testing.AllocsPerRun(100, func() { table.Lookup(route.Query{Host: "shop-77.example.com", Path: "/api/v1/orders/1/items"}) }); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	table := manyHosts()
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprintf("shop-%d.example.com", i*7919%10000) // every host, in an order that caches cannot guess
	}
	for name, path := range map[string]string{"root": "/", "exact": "/healthz", "prefix": "/api/v1/orders/12345/items", "deep": "/a/b/c/d/e/f/g/h"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if table.Lookup(route.Query{Host: names[i%len(names)], Path: path}).Route == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}
