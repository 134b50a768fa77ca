package route

import (
	"maps"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
)

// Lookup finds the route of a request in two steps, neither of which ever backs up into a wider one:
//
//	host:  exact name, then the wildcard that covers its first label, then the host-less rules
//	path:  Exact, then the longest Prefix by element, then the host's default backend, then that of all traffic if it is of the
//	       namespace that the host belongs to, then the controller's
//
// For example, with hosts "shop.example.com" (paths "/" and "/cart") and "*.example.com" ("/"), GET http://shop.example.com/cart/1
// takes "/cart" of the first; a path that "shop.example.com" lacks never goes to "*.example.com".

// Hosts are the virtual hosts of a Table, by name.
type Hosts struct {
	exact    map[string]*Host
	wildcard map[string]*Host // by what follows "*", with the dot: ".example.com"
	any      *Host
}

// NewHosts indexes hosts by their names. Names must be unique.
func NewHosts(hosts []*Host) *Hosts {
	h := &Hosts{exact: make(map[string]*Host, len(hosts)), wildcard: map[string]*Host{}}
	for _, host := range hosts {
		h.set(host.Name, host)
	}
	return h
}

// With returns a copy in which the hosts named take the place of those before; nil removes one. h stays as it is.
func (h *Hosts) With(changed map[string]*Host) *Hosts {
	out := &Hosts{exact: maps.Clone(h.exact), wildcard: maps.Clone(h.wildcard), any: h.any}
	for name, host := range changed {
		out.set(name, host)
	}
	return out
}

func (h *Hosts) set(name string, host *Host) {
	in := h.exact
	switch {
	case name == "":
		h.any = host
		return
	case strings.HasPrefix(name, "*."):
		in, name = h.wildcard, name[1:]
	}
	if host == nil {
		delete(in, name)
		return
	}
	in[name] = host
}

// All returns every host, in no particular order.
func (h *Hosts) All() []*Host {
	if h == nil {
		return nil
	}
	out := make([]*Host, 0, len(h.exact)+len(h.wildcard)+1)
	for _, host := range h.exact {
		out = append(out, host)
	}
	for _, host := range h.wildcard {
		out = append(out, host)
	}
	if h.any != nil {
		out = append(out, h.any)
	}
	return out
}

// Find returns the host that serves name (lower case, without port), or nil.
func (h *Hosts) Find(name string) *Host {
	if h == nil {
		return nil
	}
	if host, ok := h.exact[name]; ok {
		return host
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		if host, ok := h.wildcard[name[i:]]; ok {
			return host
		}
	}
	return h.any
}

// Paths are the paths of one host.
type Paths struct {
	exact    map[string]*Route
	prefixes []prefix          // longest first
	index    map[string]*Route // of prefixes, where they are many; nil where trying each is faster
	routes   []*Route
}

// prefix is the path of a Prefix route without a trailing slash; "" is "/".
type prefix struct {
	path  string
	route *Route
}

// fewPrefixes is up to how many are tried one by one: comparing strings that mostly differ early beats hashing the path once for each
// of its elements.
const fewPrefixes = 16

// NewPaths indexes routes by path and type. Each pair must be unique; "/a" and "/a/" are the same Prefix.
func NewPaths(routes []*Route) Paths {
	p := Paths{routes: routes}
	for _, r := range routes {
		if r.Type != Exact {
			p.prefixes = append(p.prefixes, prefix{strings.TrimSuffix(r.Path, "/"), r})
			continue
		}
		if p.exact == nil {
			p.exact = map[string]*Route{}
		}
		p.exact[r.Path] = r
	}
	slices.SortFunc(p.prefixes, func(a, b prefix) int { return len(b.path) - len(a.path) })
	if len(p.prefixes) > fewPrefixes {
		p.index = make(map[string]*Route, len(p.prefixes))
		for _, prefix := range p.prefixes {
			p.index[prefix.path] = prefix.route
		}
	}
	return p
}

// All returns the routes as they were given.
func (p *Paths) All() []*Route { return p.routes }

// Find returns the route for a normalised path, or nil.
func (p *Paths) Find(path string) *Route {
	if r, ok := p.exact[path]; ok {
		return r
	}
	if p.index != nil {
		return p.findIndexed(path)
	}
	for i := range p.prefixes {
		if p.prefixes[i].covers(path) {
			return p.prefixes[i].route
		}
	}
	return nil
}

// covers reports whether a path is the prefix or goes on below it.
func (p *prefix) covers(path string) bool {
	n := len(p.path)
	return len(path) >= n && path[:n] == p.path && (len(path) == n || path[n] == '/')
}

// findIndexed looks up the path's own prefixes that end at an element, longest first.
func (p *Paths) findIndexed(path string) *Route {
	end := len(path)
	if longest := len(p.prefixes[0].path); end > longest {
		if end = longest; path[end] != '/' {
			end = strings.LastIndexByte(path[:end], '/')
		}
	}
	for end >= 0 {
		if r, ok := p.index[path[:end]]; ok {
			return r
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
	return nil
}

// Query is what a lookup may know of a request.
type Query struct {
	Host string // lower case, without port
	Path string // normalised, see Normalize
}

// Match is the outcome of a lookup. Route is nil when Reason says why nothing answers.
type Match struct {
	Host   *Host
	Route  *Route
	Reason policy.Reason // NoHost or NoPath; "" with a Route
}

// Lookup finds what answers a request.
func (t *Table) Lookup(q Query) Match {
	h := t.Hosts.Find(q.Host)
	if h == nil {
		return t.unclaimed(nil, policy.NoHost)
	}
	if r := h.Paths.Find(q.Path); r != nil {
		return Match{Host: h, Route: r}
	}
	if h.Default != nil {
		return Match{Host: h, Route: h.Default}
	}
	return t.unclaimed(h, policy.NoPath)
}

func (t *Table) unclaimed(h *Host, reason policy.Reason) Match {
	switch {
	case t.Default != nil && (h == nil || h.Name == "" || t.Default.Ingress.Namespace == h.Origin.Object.Namespace):
		return Match{Host: h, Route: t.Default}
	case t.Fallback != nil:
		return Match{Host: h, Route: t.Fallback}
	}
	return Match{Host: h, Reason: reason}
}
