package explain

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// lookup asks the Table which route answers and records host, path and everything that lost. It tells whether there is a route.
func (x *run) lookup() bool {
	x.match = x.table.Lookup(x.request.host, x.path)
	if x.healthy() {
		return false
	}
	x.describeHost()
	x.losers()
	if r := x.match.Route; r != nil {
		x.describePath(r)
		x.describeSettings(r)
		return true
	}
	x.unclaimed()
	return false
}

// healthy tells whether this is the one thing Usher itself serves, for unknown hosts: /healthz, where load balancers of clouds ask.
func (x *run) healthy() bool {
	if x.match.Host != nil || x.path != "/healthz" || x.request.method != http.MethodGet {
		return false
	}
	x.out.Answer = Answer{By: ByUsher, Status: 200, Cause: "GET /healthz for a host that nobody declares is Usher's own health check"}
	x.Note(policy.PhaseRoute, "200: Usher's own health check")
	return true
}

// unclaimed is the 404.
func (x *run) unclaimed() {
	a := Answer{Status: 404, Reason: x.match.Reason, Cause: fmt.Sprintf("no Ingress declares the host %q, and no wildcard covers it", x.request.host)}
	others := x.leftToOthers()
	if h := x.match.Host; h != nil {
		a.Cause = fmt.Sprintf("host %s has %s, and none matches %s", hostName(h.Name), count(len(h.Paths.All()), "path"), x.path)
		x.nearPaths(h)
	} else {
		x.nearHosts()
	}
	if h := x.match.Host; len(others) > 0 && (h == nil || h.Name == "") {
		a.Cause = fmt.Sprintf("%s declares the host %q, but is of no class of this controller", others[0], x.request.host)
	}
	x.answer(a)
	x.Note(policy.PhaseRoute, "404: "+a.Cause)
}

// leftToOthers are the Ingresses that declare the host, or a wildcard that covers it, and that no class of ours claims.
func (x *run) leftToOthers() []policy.Ref {
	_, parent, _ := strings.Cut(x.request.host, ".")
	var found []policy.Ref
	for i := range x.table.Ingresses {
		if s := &x.table.Ingresses[i]; slices.Contains(s.Hosts, x.request.host) || slices.Contains(s.Hosts, "*."+parent) {
			found = append(found, s.Object)
		}
	}
	return found
}

func (x *run) describeHost() {
	h := x.match.Host
	if h == nil {
		return
	}
	x.out.Host = &Host{Name: h.Name, Match: hostMatch(h.Name), TLS: h.TLS, Origin: h.Origin.String()}
}

func hostMatch(name string) string {
	switch {
	case name == "":
		return "host-less"
	case strings.HasPrefix(name, "*."):
		return "wildcard"
	}
	return "exact"
}

// hostName is how a host is shown: host-less rules have none.
func hostName(name string) string {
	if name == "" {
		return "(any host)"
	}
	return name
}

func (x *run) describePath(r *route.Route) {
	p := &Path{Path: r.Path, Type: string(r.Type), Origin: r.Origin.String()}
	if x.isDefault(r) {
		p.Path, p.Type = "", "default backend"
	}
	x.out.Path = p
	where := "any host"
	if h := x.match.Host; h != nil {
		where = hostName(h.Name)
	}
	x.Note(policy.PhaseRoute, strings.TrimSpace(fmt.Sprintf("%s, %s %s", where, p.Type, p.Path)))
	for _, o := range r.Shadowed {
		x.out.Lost = append(x.out.Lost, Candidate{Host: r.Host, Path: r.Path, Type: string(r.Type), Origin: o.String(),
			Why: "declares the same host, path and path type, and is newer"})
	}
}

func (x *run) isDefault(r *route.Route) bool {
	return r == x.table.Default || x.match.Host != nil && r == x.match.Host.Default
}

// losers are the routes that match the request too: shorter paths of the host, and those of less specific hosts.
func (x *run) losers() {
	if h := x.match.Host; h != nil {
		for _, r := range x.matching(h) {
			if r != x.match.Route {
				x.lost(r, whyShorter(r, x.match.Route))
			}
		}
	}
	for _, h := range x.lesserHosts() {
		if r := h.Paths.Find(x.path); r != nil {
			x.lost(r, fmt.Sprintf("host %s is more specific and is never passed over", hostName(x.match.Host.Name)))
		}
	}
}

// matching are the routes of h that match the path, each asked alone, longest first.
func (x *run) matching(h *route.Host) []*route.Route {
	var out []*route.Route
	for _, r := range h.Paths.All() {
		alone := route.NewPaths([]*route.Route{r})
		if alone.Find(x.path) != nil {
			out = append(out, r)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return len(out[i].Path) > len(out[j].Path) })
	return out
}

// lesserHosts are the hosts that would have been found without the one that was.
func (x *run) lesserHosts() []*route.Host {
	var out []*route.Host
	if x.match.Host == nil {
		return nil
	}
	for _, h := range sortedHosts(x.table.Hosts) {
		if h != x.match.Host && route.NewHosts([]*route.Host{h}).Find(x.request.host) != nil {
			out = append(out, h)
		}
	}
	return out
}

func whyShorter(r, winner *route.Route) string {
	if winner != nil && winner.Type == route.Exact && r.Type == route.Prefix {
		return "Exact comes before Prefix"
	}
	return "shorter"
}

func (x *run) lost(r *route.Route, why string) {
	x.out.Lost = append(x.out.Lost, candidate(r, why))
}

func candidate(r *route.Route, why string) Candidate {
	return Candidate{Host: r.Host, Path: r.Path, Type: string(r.Type), Origin: r.Origin.String(), Why: why}
}

func (x *run) describeSettings(r *route.Route) {
	if r.Policy == nil {
		return
	}
	for _, s := range r.Policy.Settings() {
		x.out.Settings = append(x.out.Settings, Setting{Key: s.Key.ID(), Value: s.Value, Default: s.Key.Default,
			Origin: s.Origin.String(), Written: !s.Origin.IsDefault()})
	}
}

func sortedHosts(hosts *route.Hosts) []*route.Host {
	all := hosts.All()
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}
