package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// backend describes where the request goes.
func (x *run) backend() {
	if b := x.Upstream.Backend; b != nil {
		x.out.Backend = describe(b)
		x.out.Backend.Protocol, x.out.Backend.TLS = string(x.Upstream.Protocol), describeTLS(x.Upstream)
	}
}

func describe(b *route.Backend) *Backend {
	out := &Backend{Name: b.Name, Service: b.Namespace + "/" + b.Service, Port: b.Port, Detail: b.Detail}
	if b.Reason != policy.NoService {
		out.Origin = strings.TrimSpace(b.Origin.String())
	}
	for i := range b.Endpoints {
		state := "ready"
		if !b.Endpoints[i].Ready {
			state = "serving" // none is ready, so those still serving are used
		}
		out.Endpoints = append(out.Endpoints, endpoint(&b.Endpoints[i], state))
	}
	for i := range b.Draining {
		out.Endpoints = append(out.Endpoints, endpoint(&b.Draining[i], "draining"))
	}
	for i := range b.Unready {
		out.Endpoints = append(out.Endpoints, endpoint(&b.Unready[i], "unready"))
	}
	return out
}

func endpoint(e *route.Endpoint, state string) Endpoint {
	return Endpoint{Address: e.Address(), State: state, Pod: e.Pod, Node: e.Node, Zone: e.Zone}
}

// certificate describes the handshake of an https request, for a client that supports every algorithm.
func (x *run) certificate() {
	r := x.asked
	if !r.request.TLS {
		return
	}
	out := &Certificate{Match: "name"}
	x.out.Certificate = out
	c, named := x.table.Certificates.Choose(r.server(), route.Client{Now: r.now})
	if !named {
		out.Match, out.Why = "default", x.whyNoCertificate()
	}
	if c == nil {
		out.Match = "self-signed"
		return
	}
	out.Names, out.Secret, out.Until = c.Names, c.Secret.String(), c.Until
	switch {
	case !r.now.IsZero() && r.now.After(c.Until):
		out.Note = "expired"
	case !r.now.IsZero() && r.now.Before(c.NotFrom):
		out.Note = "not valid yet"
	case !covers(c.Names, r.server()):
		out.Note = "does not name " + r.server() + ", so clients will refuse it"
	}
}

func covers(names []string, server string) bool {
	_, parent, _ := strings.Cut(server, ".")
	return slices.Contains(names, server) || slices.Contains(names, "*."+parent)
}

// whyNoCertificate is the message of the Diagnostic that kept the host's own certificate out, or that nobody gave one.
func (x *run) whyNoCertificate() string {
	for _, d := range x.table.Diagnostics {
		if isCertificateReason(d.Reason) && x.concerns(d) {
			return d.Message
		}
	}
	return fmt.Sprintf("no Ingress has a TLS section with a Secret for %s", x.asked.server())
}

func isCertificateReason(r policy.Reason) bool {
	switch r {
	case policy.NoSecret, policy.BadSecret, policy.CertificateMismatch, policy.CertificateExpired, policy.CertificateConflict:
		return true
	}
	return false
}

// diagnostics are those that concern the objects this request met; for a 404, also those that keep an Ingress out altogether.
func (x *run) diagnostics() {
	for _, d := range x.table.Diagnostics {
		if x.concerns(d) {
			x.out.Diagnostics = append(x.out.Diagnostics, d)
		}
	}
}

// concerns reports whether d is about what this request met. Of the Ingress, that is everything but its other paths.
func (x *run) concerns(d route.Diagnostic) bool {
	o := d.Origin.Object
	if r := x.Match.Route; r != nil && o == r.Ingress {
		return d.Origin == r.Origin || !strings.Contains(d.Origin.Field, ".paths[")
	}
	if b := x.Upstream.Backend; b != nil && o == b.Origin.Object {
		return true
	}
	if h := x.Match.Host; h != nil && o == h.Origin.Object {
		return !strings.Contains(d.Origin.Field, ".paths[")
	}
	if x.Match.Route == nil {
		switch d.Reason {
		case policy.ClassIgnored:
			return slices.Contains(x.leftToOthers(), o)
		case policy.BadHost, policy.EmptyRule, policy.BadInput:
			return true
		}
	}
	return false
}
