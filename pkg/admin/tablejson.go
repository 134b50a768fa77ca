package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// The types below are the JSON of the pages. Their field names are stable.

type jsonTable struct {
	Generation uint64     `json:"generation"`
	Hosts      []jsonHost `json:"hosts"`
	Default    *jsonPath  `json:"default,omitempty"`
}

type jsonHost struct {
	Host    string     `json:"host"` // "" is any host that no other claims
	TLS     bool       `json:"tls"`
	Paths   []jsonPath `json:"paths"`
	Default *jsonPath  `json:"default,omitempty"`
}

type jsonPath struct {
	Path     string        `json:"path,omitempty"`
	Type     string        `json:"type,omitempty"`
	Backend  string        `json:"backend,omitempty"`
	Broken   policy.Reason `json:"broken,omitempty"` // why it answers 503
	Ingress  string        `json:"ingress,omitempty"`
	Origin   string        `json:"origin"`
	Shadowed []string      `json:"shadowed,omitempty"` // declarations that lost to it
}

func tableJSON(t *route.Table) jsonTable {
	out := jsonTable{Generation: t.Generation, Hosts: []jsonHost{}, Default: pathJSON(t, t.Default)}
	for _, h := range hosts(t) {
		host := jsonHost{Host: h.Name, TLS: h.TLS, Paths: []jsonPath{}, Default: pathJSON(t, h.Default)}
		for _, r := range h.Paths.All() {
			host.Paths = append(host.Paths, *pathJSON(t, r))
		}
		out.Hosts = append(out.Hosts, host)
	}
	return out
}

// hosts are those of t by name.
func hosts(t *route.Table) []*route.Host {
	list := t.Hosts.All()
	slices.SortFunc(list, func(a, b *route.Host) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func pathJSON(t *route.Table, r *route.Route) *jsonPath {
	if r == nil {
		return nil
	}
	out := &jsonPath{Path: r.Path, Type: string(r.Type), Broken: r.Broken, Origin: r.Origin.String()}
	if r.Ingress.Name != "" {
		out.Ingress = r.Ingress.Namespace + "/" + r.Ingress.Name
	}
	if b := t.Backend(r); b != nil {
		out.Backend = b.Name
		out.Broken = cmp.Or(out.Broken, b.Reason)
	}
	for _, o := range r.Shadowed {
		out.Shadowed = append(out.Shadowed, o.String())
	}
	return out
}

type jsonBackend struct {
	Name      string         `json:"name"`
	Reason    policy.Reason  `json:"reason,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Endpoints []jsonEndpoint `json:"endpoints"`
}

type jsonEndpoint struct {
	Address   string `json:"address"`
	Pod       string `json:"pod,omitempty"`
	Node      string `json:"node,omitempty"`
	Zone      string `json:"zone,omitempty"`
	Condition string `json:"condition"` // "ready", "serving", "draining" or "unready", as the cluster says
	// Seen is what the data plane knows of it, for each protocol; empty before the first request.
	Seen []EndpointState `json:"seen,omitempty"`
}

func (a *Admin) backendsJSON(t *route.Table) []jsonBackend {
	type place struct{ service, address string }
	seen := map[place][]EndpointState{}
	for _, s := range a.options.Endpoints() {
		at := place{s.Service, s.Address}
		seen[at] = append(seen[at], s)
	}
	list := make([]jsonBackend, 0, len(t.Backends))
	for _, b := range t.Backends {
		out := jsonBackend{Name: b.Name, Reason: b.Reason, Detail: b.Detail, Endpoints: []jsonEndpoint{}}
		add := func(endpoints []route.Endpoint, condition func(*route.Endpoint) string) {
			for i := range endpoints {
				e := &endpoints[i]
				out.Endpoints = append(out.Endpoints, jsonEndpoint{Address: e.Address(), Pod: e.Pod, Node: e.Node, Zone: e.Zone,
					Condition: condition(e), Seen: seen[place{b.Namespace + "/" + b.Service, e.Address()}]})
			}
		}
		add(b.Endpoints, readiness)
		add(b.Draining, func(*route.Endpoint) string { return "draining" })
		add(b.Unready, func(*route.Endpoint) string { return "unready" })
		list = append(list, out)
	}
	slices.SortFunc(list, func(a, b jsonBackend) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func readiness(e *route.Endpoint) string {
	if e.Ready {
		return "ready"
	}
	return "serving"
}

type jsonCertificate struct {
	Secret    string    `json:"secret"`
	Names     []string  `json:"names"`     // it is valid for
	ServedFor []string  `json:"servedFor"` // hosts that Ingresses give it for; "*" is any other name
	Key       string    `json:"key"`       // its algorithm; never the key
	NotBefore time.Time `json:"notBefore"`
	Until     time.Time `json:"notAfter"`
	Expired   bool      `json:"expired"`

	left time.Duration
}

// remaining is how long the certificate is still valid, in the unit one thinks in.
func (c jsonCertificate) remaining() string {
	switch {
	case c.left <= 0:
		return "expired"
	case c.left < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(c.left.Hours()))
	}
	return fmt.Sprintf("%d days", int(c.left.Hours()/24))
}

// soon reports whether somebody should look: an automatic renewal would have come by now.
func (c jsonCertificate) soon() bool { return c.left < 14*24*time.Hour }

// certificatesJSON lists the certificates in use, the one that expires first on top.
func certificatesJSON(set *route.Certificates, now time.Time) []jsonCertificate {
	served := map[*route.Certificate][]string{}
	for _, name := range set.Names() {
		for _, c := range set.For(name) {
			served[c] = append(served[c], name)
		}
	}
	if set != nil && set.Default != nil {
		served[set.Default] = append(served[set.Default], "*")
	}
	list := []jsonCertificate{}
	for _, c := range set.All() {
		out := jsonCertificate{Secret: c.Secret.Namespace + "/" + c.Secret.Name, Names: c.Names, ServedFor: served[c], Key: "unknown",
			NotBefore: c.NotFrom, Until: c.Until, Expired: now.After(c.Until), left: c.Until.Sub(now)}
		if c.TLS != nil && c.TLS.Leaf != nil {
			out.Key = c.TLS.Leaf.PublicKeyAlgorithm.String()
		}
		list = append(list, out)
	}
	slices.SortStableFunc(list, func(a, b jsonCertificate) int { return a.Until.Compare(b.Until) })
	return list
}
