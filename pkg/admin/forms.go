package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// The forms below are the JSON of the pages. Their field names are stable.

type tableForm struct {
	Generation uint64     `json:"generation"`
	Hosts      []hostForm `json:"hosts"`
	Default    *pathForm  `json:"default,omitempty"`
}

type hostForm struct {
	Host    string     `json:"host"` // "" is any host that no other claims
	TLS     bool       `json:"tls"`
	Paths   []pathForm `json:"paths"`
	Default *pathForm  `json:"default,omitempty"`
}

type pathForm struct {
	Path     string        `json:"path,omitempty"`
	Type     string        `json:"type,omitempty"`
	Backend  string        `json:"backend,omitempty"`
	Broken   policy.Reason `json:"broken,omitempty"` // why it answers 503
	Ingress  string        `json:"ingress,omitempty"`
	Origin   string        `json:"origin"`
	Shadowed []string      `json:"shadowed,omitempty"` // declarations that lost to it
}

func tableJSON(t *route.Table) tableForm {
	form := tableForm{Generation: t.Generation, Hosts: []hostForm{}, Default: pathJSON(t, t.Default)}
	for _, h := range hosts(t) {
		host := hostForm{Host: h.Name, TLS: h.TLS, Paths: []pathForm{}, Default: pathJSON(t, h.Default)}
		for _, r := range h.Paths.All() {
			host.Paths = append(host.Paths, *pathJSON(t, r))
		}
		form.Hosts = append(form.Hosts, host)
	}
	return form
}

// hosts are those of t by name.
func hosts(t *route.Table) []*route.Host {
	list := t.Hosts.All()
	slices.SortFunc(list, func(a, b *route.Host) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func pathJSON(t *route.Table, r *route.Route) *pathForm {
	if r == nil {
		return nil
	}
	form := &pathForm{Path: r.Path, Type: string(r.Type), Broken: r.Broken, Origin: r.Origin.String()}
	if r.Ingress.Name != "" {
		form.Ingress = r.Ingress.Namespace + "/" + r.Ingress.Name
	}
	if b := t.Backend(r); b != nil {
		form.Backend = b.Name
		form.Broken = cmp.Or(form.Broken, b.Reason)
	}
	for _, o := range r.Shadowed {
		form.Shadowed = append(form.Shadowed, o.String())
	}
	return form
}

type backendForm struct {
	Name      string         `json:"name"`
	Reason    policy.Reason  `json:"reason,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Endpoints []endpointForm `json:"endpoints"`
}

type endpointForm struct {
	Address   string `json:"address"`
	Pod       string `json:"pod,omitempty"`
	Node      string `json:"node,omitempty"`
	Zone      string `json:"zone,omitempty"`
	Condition string `json:"condition"` // "ready", "serving", "draining" or "unready", as the cluster says
	// Seen is what the data plane knows of it, for each protocol; empty before the first request.
	Seen []EndpointState `json:"seen,omitempty"`
}

func (a *Admin) backendsJSON(t *route.Table) []backendForm {
	type place struct{ service, address string }
	seen := map[place][]EndpointState{}
	for _, s := range a.options.Endpoints() {
		at := place{s.Service, s.Address}
		seen[at] = append(seen[at], s)
	}
	forms := make([]backendForm, 0, len(t.Backends))
	for _, b := range t.Backends {
		form := backendForm{Name: b.Name, Reason: b.Reason, Detail: b.Detail, Endpoints: []endpointForm{}}
		add := func(endpoints []route.Endpoint, condition func(*route.Endpoint) string) {
			for i := range endpoints {
				e := &endpoints[i]
				form.Endpoints = append(form.Endpoints, endpointForm{Address: e.Address(), Pod: e.Pod, Node: e.Node, Zone: e.Zone,
					Condition: condition(e), Seen: seen[place{b.Namespace + "/" + b.Service, e.Address()}]})
			}
		}
		add(b.Endpoints, readiness)
		add(b.Draining, func(*route.Endpoint) string { return "draining" })
		add(b.Unready, func(*route.Endpoint) string { return "unready" })
		forms = append(forms, form)
	}
	slices.SortFunc(forms, func(a, b backendForm) int { return cmp.Compare(a.Name, b.Name) })
	return forms
}

func readiness(e *route.Endpoint) string {
	if e.Ready {
		return "ready"
	}
	return "serving"
}

type certificateForm struct {
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
func (c certificateForm) remaining() string {
	switch {
	case c.left <= 0:
		return "expired"
	case c.left < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(c.left.Hours()))
	}
	return fmt.Sprintf("%d days", int(c.left.Hours()/24))
}

// soon tells whether somebody should look: an automatic renewal would have come by now.
func (c certificateForm) soon() bool { return c.left < 14*24*time.Hour }

// certificatesJSON lists the certificates in use, the one that expires first on top.
func certificatesJSON(set *route.Certificates, now time.Time) []certificateForm {
	served := map[*route.Certificate][]string{}
	for _, name := range set.Names() {
		for _, c := range set.For(name) {
			served[c] = append(served[c], name)
		}
	}
	if set != nil && set.Default != nil {
		served[set.Default] = append(served[set.Default], "*")
	}
	forms := []certificateForm{}
	for _, c := range set.All() {
		form := certificateForm{Secret: c.Secret.Namespace + "/" + c.Secret.Name, Names: c.Names, ServedFor: served[c], Key: "unknown",
			NotBefore: c.NotFrom, Until: c.Until, Expired: now.After(c.Until), left: c.Until.Sub(now)}
		if c.TLS != nil && c.TLS.Leaf != nil {
			form.Key = c.TLS.Leaf.PublicKeyAlgorithm.String()
		}
		forms = append(forms, form)
	}
	slices.SortStableFunc(forms, func(a, b certificateForm) int { return a.Until.Compare(b.Until) })
	return forms
}
