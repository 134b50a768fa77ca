package explain

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// claim describes host, path and settings, and everything that lost.
func (x *run) claim() {
	x.describeHost()
	x.losers()
	if r := x.Match.Route; r != nil {
		x.describePath(r)
		x.describeSettings(r)
	}
}

// unclaimed is the cause of a 404.
func (x *run) unclaimed() string {
	h, others := x.Match.Host, x.leftToOthers()
	cause := fmt.Sprintf("no Ingress declares the host %q, and no wildcard covers it", x.Ask.Named)
	if h != nil {
		cause = fmt.Sprintf("host %s has %s, and none matches %s", hostName(h.Name), count(len(h.Paths.All()), "path"), x.Ask.Path)
		x.nearPaths(h)
	} else {
		x.nearHosts()
	}
	if len(others) > 0 && (h == nil || h.Name == "") {
		cause = fmt.Sprintf("%s declares the host %q, but is of no class of this controller", others[0], x.Ask.Named)
	}
	return cause
}

// leftToOthers are the Ingresses that declare the host, or a wildcard that covers it, and that no class of ours claims.
func (x *run) leftToOthers() []policy.Ref {
	_, parent, _ := strings.Cut(x.Ask.Named, ".")
	var found []policy.Ref
	for i := range x.table.Ingresses {
		if s := &x.table.Ingresses[i]; slices.Contains(s.Hosts, x.Ask.Named) || slices.Contains(s.Hosts, "*."+parent) {
			found = append(found, s.Object)
		}
	}
	return found
}

func (x *run) describeHost() {
	h := x.Match.Host
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
	if h := x.Match.Host; h != nil {
		where = hostName(h.Name)
	}
	x.note(policy.PhaseRoute, "%s, %s %s", where, p.Type, p.Path)
	for _, o := range r.Shadowed {
		x.out.Lost = append(x.out.Lost, Candidate{Host: r.Host, Path: r.Path, Type: string(r.Type), Origin: o.String(),
			Why: "declares the same host, path and path type, and is newer"})
	}
}

func (x *run) isDefault(r *route.Route) bool {
	return r == x.table.Default || x.Match.Host != nil && r == x.Match.Host.Default
}

// losers are the routes that match the request too: shorter paths of the host, and those of less specific hosts.
func (x *run) losers() {
	if h := x.Match.Host; h != nil {
		for _, r := range x.matching(h) {
			if r != x.Match.Route {
				x.lost(r, whyShorter(r, x.Match.Route))
			}
		}
	}
	for _, h := range x.lesserHosts() {
		if r := h.Paths.Find(x.Ask.Path); r != nil {
			x.lost(r, fmt.Sprintf("host %s is more specific and is never passed over", hostName(x.Match.Host.Name)))
		}
	}
}

// matching are the routes of h that match the path, each asked alone, longest first.
func (x *run) matching(h *route.Host) []*route.Route {
	var out []*route.Route
	for _, r := range h.Paths.All() {
		alone := route.NewPaths([]*route.Route{r})
		if alone.Find(x.Ask.Path) != nil {
			out = append(out, r)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return len(out[i].Path) > len(out[j].Path) })
	return out
}

// lesserHosts are the hosts that would have been found without the one that was.
func (x *run) lesserHosts() []*route.Host {
	var out []*route.Host
	if x.Match.Host == nil {
		return nil
	}
	for _, h := range sortedHosts(x.table.Hosts) {
		if h != x.Match.Host && route.NewHosts([]*route.Host{h}).Find(x.Ask.Named) != nil {
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
