package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// A backend is a port of a Service as an Ingress writes it. It is found among the Service's TCP ports by name, or by number; a number
// or name that is only some port's targetPort is accepted as well, as in ingress-nginx, and reported.
//
// The Service's port leads to the endpoints by its name: that is what EndpointSlices call their ports. targetPort is not looked at
// for it, since a named one may be another number in every Pod.

// backendKey is a port of a Service as written. An empty port is the first one.
type backendKey struct {
	service object.Key
	port    string
}

func newBackendKey(service object.Key, port networkingv1.ServiceBackendPort) backendKey {
	if port.Name != "" {
		return backendKey{service, port.Name}
	}
	return backendKey{service, strconv.Itoa(int(port.Number))}
}

func (k backendKey) String() string {
	if k.port == "" {
		return k.service.String()
	}
	return k.service.String() + ":" + k.port
}

// backends are all backends that Ingresses name. Each keeps its index for as long as somebody names it and no lower one is freed.
type backends struct {
	byKey     map[backendKey]*slot
	byService map[object.Key]map[*slot]bool
	slots     []*slot          // by index
	stale     map[*slot]bool   // to be resolved again
	table     []*route.Backend // as published; copied before it is written
	owned     bool             // whether table is a copy made in this turn
}

// slot is one backend and those who name it.
type slot struct {
	key         backendKey
	index       int
	users       []user
	backend     *route.Backend
	diagnostics []route.Diagnostic
}

// user is an Ingress that names a backend, and where, or a TCP service; neither is the controller's own default backend.
type user struct {
	ingress *ingress
	field   string
	stream  *tcpService
}

func newBackends() backends {
	return backends{byKey: map[backendKey]*slot{}, byService: map[object.Key]map[*slot]bool{}, stale: map[*slot]bool{}}
}

// index is where the backend of p stands in Table.Backends; -1 when p is broken.
func (b *backends) index(p *path) int {
	if p.broken != "" {
		return -1
	}
	return b.byKey[p.backend].index
}

func (b *backends) acquire(key backendKey, u user) {
	s := b.byKey[key]
	if s == nil {
		s = &slot{key: key, index: len(b.slots)}
		b.byKey[key] = s
		if b.byService[key.service] == nil {
			b.byService[key.service] = map[*slot]bool{}
		}
		b.byService[key.service][s] = true
		b.slots = append(b.slots, s)
	}
	s.users = append(s.users, u)
	b.stale[s] = true
}

func (b *backends) release(key backendKey, in *ingress) {
	s := b.byKey[key]
	s.users = slices.DeleteFunc(s.users, func(u user) bool { return u.ingress == in })
	b.stale[s] = true
}

// publish gives Table.Backends and keeps it unwritten from now on.
func (b *backends) publish() []*route.Backend {
	b.owned = false
	return b.table
}

func (b *backends) own() {
	if !b.owned {
		b.table, b.owned = append(make([]*route.Backend, 0, len(b.slots)), b.table...), true
	}
}

// resolveBackends brings the endpoints of every backend that a change touched up to date.
func (r *Resolver) resolveBackends(changed *changes) {
	b := &r.backends
	if changed.all && r.options.DefaultBackend != (object.Key{}) {
		b.acquire(backendKey{service: r.options.DefaultBackend}, user{})
		r.work.catchAll = true
	}
	if len(changed.services) < len(b.byService) {
		for service := range changed.services {
			b.touch(service)
		}
	} else {
		for service := range b.byService {
			if changed.services[service] {
				b.touch(service)
			}
		}
	}
	if len(changed.pods) > 0 {
		for service := range b.byService {
			if changed.pods[service.Namespace] {
				b.touch(service)
			}
		}
	}
	r.sweep()
	for s := range b.stale {
		r.resolveSlot(s)
		r.options.Yield()
	}
	clear(b.stale)
}

func (b *backends) touch(service object.Key) {
	for s := range b.byService[service] {
		b.stale[s] = true
	}
}

// sweep removes the backends that nobody names any more. The last one takes the free place, so that Table.Backends has no holes;
// the hosts that lead to it are merged again.
func (r *Resolver) sweep() {
	b := &r.backends
	var free []*slot
	for s := range b.stale {
		if len(s.users) == 0 {
			free = append(free, s)
		}
	}
	slices.SortFunc(free, func(x, y *slot) int { return y.index - x.index })
	moved := map[*ingress]bool{}
	for _, s := range free {
		r.problems.replace(s.diagnostics, nil)
		delete(b.stale, s)
		b.forget(s)
		last := b.slots[len(b.slots)-1]
		b.slots = b.slots[:len(b.slots)-1]
		if last != s {
			r.move(last, s.index, moved)
		}
		if len(b.table) > len(b.slots) {
			b.own()
			b.table = b.table[:len(b.slots)]
		}
	}
	for in := range moved {
		for _, h := range in.hosts {
			r.work.hosts[h.name] = true
		}
	}
}

func (b *backends) forget(s *slot) {
	delete(b.byKey, s.key)
	if delete(b.byService[s.key.service], s); len(b.byService[s.key.service]) == 0 {
		delete(b.byService, s.key.service)
	}
}

// move gives a backend another place, and notes the Ingresses whose hosts lead to it.
func (r *Resolver) move(s *slot, index int, moved map[*ingress]bool) {
	b := &r.backends
	s.index = index
	b.slots[index] = s
	b.put(s)
	for _, u := range s.users {
		if u.ingress == nil || u.ingress.catchAll {
			r.work.catchAll = true
		}
		r.work.streams = r.work.streams || u.stream != nil
		if u.ingress != nil {
			moved[u.ingress] = true
		}
	}
}

// resolveSlot finds the endpoints of one backend and tells its users what is wrong with it.
func (r *Resolver) resolveSlot(s *slot) {
	b := &r.backends
	found, notes := r.findBackend(s.key)
	if s.backend == nil || !sameBackend(s.backend, found) {
		s.backend = found
	}
	b.put(s)
	before := s.diagnostics
	s.diagnostics = nil
	for _, u := range s.users {
		for _, n := range notes {
			s.diagnostics = append(s.diagnostics, n.tell(s, u))
		}
	}
	r.problems.replace(before, s.diagnostics)
}

// put writes a backend to its place in the table.
func (b *backends) put(s *slot) {
	if s.index < len(b.table) && b.table[s.index] == s.backend {
		return
	}
	b.own()
	for len(b.table) <= s.index {
		b.table = append(b.table, nil)
	}
	b.table[s.index] = s.backend
}

// note is something about a backend that everybody who names it is told.
type note struct {
	severity route.Severity
	reason   policy.Reason
	message  string
	effect   string
}

func (n note) tell(s *slot, u user) route.Diagnostic {
	origin := policy.Origin{Object: serviceRef(s.key.service), Field: "metadata.name"}
	switch {
	case u.stream != nil:
		origin = u.stream.origin
		if n.severity == route.Error {
			n.effect = fmt.Sprintf("connections to port %d are closed", u.stream.port)
		}
	case u.ingress != nil:
		origin = u.ingress.at(u.field)
		n = n.atCanary(s, u.ingress)
	}
	return route.Diagnostic{Severity: n.severity, Reason: n.reason, Origin: origin, Message: n.message, Effect: n.effect}
}

// atCanary softens what concerns a canary: one without endpoints answers nothing with 503, since it takes no traffic. Rollout tools leave
// theirs so between two rollouts.
func (n note) atCanary(s *slot, in *ingress) note {
	if n.severity != route.Error || s.backend.Reason != n.reason {
		return n
	}
	switch scaledAway := n.reason == policy.NoEndpoints || n.reason == policy.NoReadyEndpoints; {
	case in.isCanary() && scaledAway:
		n.severity, n.effect = route.Info, "the canary takes no traffic"
	case in.isCanary():
		n.severity, n.effect = route.Warning, "the canary takes no traffic"
	case in.isCanaryAtRest() && scaledAway:
		n.severity = route.Warning
	}
	return n
}

func serviceRef(k object.Key) policy.Ref {
	return policy.Ref{Kind: string(object.Service), Namespace: k.Namespace, Name: k.Name}
}

func sameBackend(a, b *route.Backend) bool {
	return a.Protocol == b.Protocol && a.ClientIP == b.ClientIP && a.Reason == b.Reason && a.Detail == b.Detail && slices.Equal(a.Endpoints, b.Endpoints) &&
		slices.Equal(a.Draining, b.Draining) && slices.Equal(a.Unready, b.Unready)
}

// findBackend resolves one backend from the Service and its EndpointSlices. A backend without usable endpoints says why.
func (r *Resolver) findBackend(key backendKey) (*route.Backend, []note) {
	f := finding{resolver: r, key: key, Backend: &route.Backend{
		Name: key.String(), Namespace: key.service.Namespace, Service: key.service.Name, Port: key.port,
		Origin: policy.Origin{Object: serviceRef(key.service), Field: "spec.ports"},
	}}
	f.service = r.work.snapshot.Services[key.service]
	f.find()
	if f.Reason != "" {
		f.notes = append(f.notes, note{route.Error, f.Reason, f.Detail, fmt.Sprintf("requests that come here answer %d", f.Reason.Explain().Status)})
	}
	return f.Backend, f.notes
}

// finding is one backend being resolved.
type finding struct {
	resolver *Resolver
	key      backendKey
	service  *corev1.Service
	port     corev1.ServicePort
	notes    []note
	*route.Backend
}

func (f *finding) fail(reason policy.Reason, format string, args ...any) {
	f.Reason, f.Detail = reason, fmt.Sprintf(format, args...)
}

func (f *finding) find() {
	if f.service == nil {
		f.fail(policy.NoService, "Service %s %s", f.key.service, f.resolver.work.snapshot.Absent(object.Service, f.key.service))
		return
	}
	if !f.findPort() {
		return
	}
	f.findProtocol()
	f.ClientIP = f.service.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
	if f.isExternal() {
		f.findExternal()
		return
	}
	f.findEndpoints()
}

// findPort finds the port of the Service that the Ingress means.
func (f *finding) findPort() bool {
	if f.isExternal() {
		return f.findExternalPort()
	}
	ports := f.service.Spec.Ports
	for _, match := range []func(*corev1.ServicePort) bool{f.isNamed, f.isTarget} {
		for i := range ports {
			if isTCP(ports[i].Protocol) && match(&ports[i]) {
				f.port = ports[i]
				return true
			}
		}
	}
	if number, err := strconv.Atoi(f.key.port); err == nil && len(ports) == 0 && f.service.Spec.ClusterIP == corev1.ClusterIPNone {
		f.port = corev1.ServicePort{Port: int32(number)} // the endpoints of a headless Service are used as they are
		return true
	}
	f.failPort(policy.NoPort)
	return false
}

func (f *finding) isNamed(p *corev1.ServicePort) bool {
	return f.key.port == "" || p.Name == f.key.port || strconv.Itoa(int(p.Port)) == f.key.port
}

func (f *finding) isTarget(p *corev1.ServicePort) bool {
	if p.TargetPort.String() != f.key.port {
		return false
	}
	f.notes = append(f.notes, note{route.Warning, policy.PortByTarget,
		fmt.Sprintf("Service %s has no port %s; port %s has it as its targetPort", f.key.service, f.key.port, describePort(p)),
		"that port is used, as ingress-nginx does"})
	return true
}

func isTCP(p corev1.Protocol) bool { return p == "" || p == corev1.ProtocolTCP }

func (f *finding) failPort(reason policy.Reason) {
	if len(f.service.Spec.Ports) == 0 {
		f.fail(reason, "Service %s has no ports; want port %s", f.key.service, f.key.port)
		return
	}
	has := joined(f.service.Spec.Ports, func(p corev1.ServicePort) string { return describePort(&p) })
	f.fail(reason, "Service %s has no TCP port %s; it has %s", f.key.service, f.key.port, has)
}

// describePort is "80", "http (80)" or "dns (53/UDP)".
func describePort(p *corev1.ServicePort) string {
	number := strconv.Itoa(int(p.Port))
	if !isTCP(p.Protocol) {
		number += "/" + string(p.Protocol)
	}
	if p.Name == "" {
		return number
	}
	return p.Name + " (" + number + ")"
}

// findProtocol reads appProtocol. Names without a prefix are IANA's; the others are Kubernetes' own.
func (f *finding) findProtocol() {
	if f.port.AppProtocol == nil {
		return
	}
	switch strings.ToLower(*f.port.AppProtocol) {
	case "":
	case "http", "kubernetes.io/ws", "ws":
		f.Protocol = policy.HTTP
	case "https", "kubernetes.io/wss", "wss":
		f.Protocol = policy.HTTPS
	case "kubernetes.io/h2c", "h2c", "grpc":
		f.Protocol = policy.GRPC
	case "grpcs":
		f.Protocol = policy.GRPCS
	default:
		f.notes = append(f.notes, note{route.Warning, policy.UnsupportedProtocol,
			fmt.Sprintf("Service %s port %s has appProtocol %q; want http, https, grpc, grpcs, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss",
				f.key.service, describePort(&f.port), *f.port.AppProtocol),
			"it is spoken to in plain HTTP, unless backend-protocol says otherwise"})
	}
}
