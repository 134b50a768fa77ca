package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/usher-ingress/usher/pkg/egress"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Which endpoints get requests:
//
//	ready                             all of them; those hinted for our zone alone, where every ready one has hints
//	none ready, some still serving    those: a rollout's last Pods rather than an error
//	terminating but serving           beside ready ones, only for clients that stick to them
//
// A nil condition "ready" means ready, as the API says. A nil "serving" follows "ready": a slice written by hand with only
// ready: false gets no traffic.

// candidate is an endpoint as some EndpointSlice describes it.
type candidate struct {
	route.Endpoint
	zones []string // hints.forZones
}

// findEndpoints collects the endpoints of all slices and sorts them into those that get requests and those that do not.
func (f *finding) findEndpoints() {
	slicesOf := f.resolver.work.snapshot.EndpointSlices.Of(f.key.service)
	var seen survey
	for _, slice := range slicesOf {
		f.readSlice(slice, &seen)
	}
	f.distribute(unique(seen.candidates))
	if len(seen.denied) > 0 {
		f.reportDenied(seen.denied)
	}
	if len(f.Endpoints) == 0 && f.Reason == "" {
		f.explain(slicesOf, &seen)
		f.explainByPods()
	}
	f.doubtTargetPort()
}

// survey is what the slices of a Service hold.
type survey struct {
	candidates []candidate
	denied     []denied // addresses nobody may be sent to
	endpoints  int      // in all slices, with or without the port
	names      bool     // there are slices of names rather than addresses
}

func (f *finding) readSlice(slice *discoveryv1.EndpointSlice, seen *survey) {
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		seen.names = true
		return
	}
	seen.endpoints += len(slice.Endpoints)
	seen.candidates = slices.Grow(seen.candidates, len(slice.Endpoints))
	port, ok := f.slicePort(slice)
	if !ok {
		return
	}
	for i := range slice.Endpoints {
		f.readEndpoint(&slice.Endpoints[i], port, seen)
	}
}

// slicePort is the number the slice's endpoints listen on: that of its port with the name of the Service's port. One without a
// number stands for all ports.
func (f *finding) slicePort(slice *discoveryv1.EndpointSlice) (uint16, bool) {
	if len(slice.Ports) == 0 && len(f.service.Spec.Ports) == 0 {
		return portNumber(f.port.Port)
	}
	for i := range slice.Ports {
		p := &slice.Ports[i]
		if p.Protocol != nil && !isTCP(*p.Protocol) || orEmpty(p.Name) != f.port.Name {
			continue
		}
		if p.Port != nil {
			return portNumber(*p.Port)
		}
		return portNumber(f.targetNumber())
	}
	return 0, false
}

// targetNumber is the Service port's targetPort where that is a number, else the port itself.
func (f *finding) targetNumber() int32 {
	if target := f.port.TargetPort.IntVal; f.port.TargetPort.Type == intstr.Int && target > 0 {
		return target
	}
	return f.port.Port
}

// portNumber refuses what only a file can hold.
func portNumber(n int32) (uint16, bool) { return uint16(n), n > 0 && n <= 65535 }

func (f *finding) readEndpoint(e *discoveryv1.Endpoint, port uint16, seen *survey) {
	for _, text := range e.Addresses[:min(1, len(e.Addresses))] {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		to := netip.AddrPortFrom(addr.Unmap(), port)
		if why := f.resolver.rules.Refuses(to); why != "" {
			seen.denied = append(seen.denied, denied{to.Addr(), why})
			continue
		}
		seen.candidates = append(seen.candidates, f.candidate(e, to))
	}
}

func (f *finding) candidate(e *discoveryv1.Endpoint, addr netip.AddrPort) candidate {
	c := candidate{Endpoint: route.Endpoint{Addr: addr, Node: orEmpty(e.NodeName), Zone: orEmpty(e.Zone)}}
	c.Ready = e.Conditions.Ready == nil || *e.Conditions.Ready
	c.Serving = c.Ready
	if e.Conditions.Serving != nil {
		c.Serving = *e.Conditions.Serving
	}
	c.Terminating = e.Conditions.Terminating != nil && *e.Conditions.Terminating
	if t := e.TargetRef; t != nil && t.Kind == "Pod" {
		c.Pod, c.PodUID = t.Name, string(t.UID)
	}
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			c.zones = append(c.zones, z.Name)
		}
	}
	return c
}

// unique sorts candidates and keeps one for each address: while a Pod moves from one slice to another it stands in both for a moment,
// and the better account of it counts, whichever is seen first.
func unique(candidates []candidate) []candidate {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(a.Addr.Compare(b.Addr), -compareAccounts(&a, &b))
	})
	return slices.CompactFunc(candidates, func(a, b candidate) bool { return a.Addr == b.Addr })
}

func compareAccounts(a, b *candidate) int {
	rank := func(c *candidate) int {
		switch {
		case c.Ready:
			return 2
		case c.Serving:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.PodUID, b.PodUID),
		cmp.Compare(a.Node, b.Node), cmp.Compare(a.Zone, b.Zone), slices.Compare(a.zones, b.zones))
}

// distribute sorts candidates into Endpoints, Draining and Unready.
func (f *finding) distribute(candidates []candidate) {
	here := nearby(candidates, f.resolver.options.Zone)
	ready := slices.ContainsFunc(candidates, func(c candidate) bool { return c.Ready })
	for _, c := range candidates {
		switch {
		case c.Ready && (here == nil || here(c)), !ready && c.Serving:
			f.Endpoints = append(f.Endpoints, c.Endpoint)
		case c.Serving && c.Terminating:
			f.Draining = append(f.Draining, c.Endpoint)
		default:
			f.Unready = append(f.Unready, c.Endpoint)
		}
	}
}

// nearby picks the endpoints hinted for a zone, as kube-proxy does: only where every ready endpoint has a hint and one is for us.
// nil means that hints are not followed.
func nearby(candidates []candidate, zone string) func(candidate) bool {
	if zone == "" {
		return nil
	}
	here := func(c candidate) bool { return slices.Contains(c.zones, zone) }
	found := false
	for _, c := range candidates {
		if !c.Ready {
			continue
		}
		if len(c.zones) == 0 {
			return nil
		}
		found = found || here(c)
	}
	if !found {
		return nil
	}
	return here
}

// denied is an address that no backend may have.
type denied struct {
	addr netip.Addr
	why  string
}

func (d denied) String() string { return fmt.Sprintf("%s (%s)", d.addr, d.why) }

func (f *finding) reportDenied(list []denied) {
	slices.SortFunc(list, func(a, b denied) int { return a.addr.Compare(b.addr) })
	message := fmt.Sprintf("Service %s has endpoint addresses that Ingresses may not reach: %s", f.key.service, joined(slices.Compact(list), denied.String))
	if slices.ContainsFunc(list, func(d denied) bool { return d.why != egress.Itself }) {
		message += "; --allow-upstream-cidr opens them, except Usher itself"
	}
	if len(f.Endpoints) == 0 && len(f.Unready) == 0 && len(f.Draining) == 0 {
		f.fail(policy.EndpointDenied, "%s", message)
		return
	}
	f.notes = append(f.notes, note{route.Warning, policy.EndpointDenied, message, "they are not used"})
}

// opened says what opens an address that is refused for a reason.
func opened(why string) string {
	if why == egress.Itself {
		return ""
	}
	return "; --allow-upstream-cidr opens it"
}

// explain says why there is no endpoint, as far as the Service and its slices tell.
func (f *finding) explain(of []*discoveryv1.EndpointSlice, seen *survey) {
	selector := describeSelector(f.service)
	switch {
	case len(seen.candidates) > 0:
		f.fail(policy.NoReadyEndpoints, "none of the %s of Service %s is ready: %s", count(len(f.Unready), "endpoint"), f.key.service,
			joined(f.Unready, describeEndpoint))
	case seen.endpoints > 0:
		f.fail(policy.TargetPortMismatch, "Service %s port %s has targetPort %s, which none of its %s declares", f.key.service,
			describePort(&f.port), describeTarget(&f.port), count(seen.endpoints, "endpoint"))
	case seen.names:
		f.fail(policy.NoEndpoints, "Service %s has EndpointSlices of names only (addressType FQDN); want addresses, or a Service of type ExternalName", f.key.service)
	case selector == "":
		f.fail(policy.NoEndpoints, "Service %s has no selector, and no EndpointSlice gives it endpoints", f.key.service)
	case len(of) == 0:
		f.fail(policy.NoEndpoints, "Service %s has no EndpointSlice; its selector is %s", f.key.service, selector)
	default:
		f.fail(policy.NoEndpoints, "Service %s has no endpoints: its selector %s matches no running Pod", f.key.service, selector)
	}
}

func describeSelector(s *corev1.Service) string {
	var pairs []string
	for _, k := range sortedKeys(s.Spec.Selector) {
		pairs = append(pairs, k+"="+s.Spec.Selector[k])
	}
	return strings.Join(pairs, ",")
}

func describeTarget(p *corev1.ServicePort) string {
	if t := p.TargetPort.String(); t != "0" && t != "" {
		return t
	}
	return fmt.Sprint(p.Port)
}

func describeEndpoint(e route.Endpoint) string {
	name := cmp.Or(e.Pod, e.Address())
	if e.Terminating {
		name += " (terminating)"
	}
	return name
}

// joined names at most three things, and how many more there are.
func joined[T any](things []T, name func(T) string) string {
	const most = 3
	var names []string
	for _, thing := range things[:min(most, len(things))] {
		names = append(names, name(thing))
	}
	if len(things) > most {
		names = append(names, fmt.Sprintf("and %d more", len(things)-most))
	}
	return strings.Join(names, ", ")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
