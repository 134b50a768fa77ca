package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// TCP services are the entries of the ConfigMap that --tcp-services-configmap names, in ingress-nginx's words:
//
//	data:
//	  "5432": demo/postgres:5432              port 5432 goes to port 5432 of Service demo/postgres
//	  "6379": demo/redis:tcp-redis:PROXY      clients come with a PROXY protocol header
//	  "9000": demo/log:9000::PROXY            endpoints get one
//
// An entry that cannot be read opens no port and leaves the others alone. UDP is not forwarded; its entries are reported one by one.

// tcpService is one entry.
type tcpService struct {
	port    uint16
	origin  policy.Origin
	backend backendKey
	decode  bool // clients send a PROXY header
	encode  bool // endpoints get one
}

// streams is what the ConfigMaps say.
type streams struct {
	services    []*tcpService // by port
	diagnostics []route.Diagnostic
	table       []route.TCPService // as published
	policy      *policy.Set        // with which
}

// resolveStreams reads the ConfigMaps again if they changed. It comes before the backends, of which it names some.
func (r *Resolver) resolveStreams(changed *changes) {
	o := &r.options
	if !changed.all && !changed.configMaps[o.TCPServices] && !changed.configMaps[o.UDPServices] && !r.work.classes {
		return
	}
	old, before := r.streams.services, r.streams.diagnostics
	r.streams.services, r.streams.diagnostics = nil, nil
	r.readTCP()
	r.readUDP()
	for _, s := range r.streams.services {
		r.backends.acquire(s.backend, user{stream: s})
	}
	for _, s := range old {
		r.backends.releaseStream(s.backend, s)
	}
	r.work.streams = true
	r.problems.replace(before, r.streams.diagnostics)
}

// publishStreams gives Table.TCP, when the places of the backends are known.
func (r *Resolver) publishStreams() []route.TCPService {
	s := &r.streams
	if !r.work.streams && s.policy == r.classes.global {
		return s.table
	}
	s.table, s.policy = nil, r.classes.global
	for _, service := range s.services {
		to := &route.Stream{Backend: r.backends.byKey[service.backend].index, Policy: s.policy, Origin: service.origin}
		if service.encode {
			to.ProxyProtocol = 1 // what nginx sends
		}
		s.table = append(s.table, route.TCPService{Port: service.port, ProxyHeader: service.decode, Stream: to})
	}
	return s.table
}

func (r *Resolver) readTCP() {
	key := r.options.TCPServices
	configMap := r.streamsOf(key)
	if configMap == nil {
		return
	}
	for _, written := range sortedKeys(configMap.Data) {
		value := configMap.Data[written]
		origin := policy.Origin{Object: configMapRef(key), Field: fmt.Sprintf("data[%q]", written)}
		service, err := r.readTCPService(written, value)
		if err != nil {
			r.streams.report(route.Diagnostic{
				Severity: route.Error, Reason: policy.BadTCPService, Origin: origin,
				Message: fmt.Sprintf("%q: %q: %v", written, value, err), Effect: "no port is opened for it",
			})
			continue
		}
		service.origin = origin
		if service.decode && r.classes.global.Forwarded.BelievesEveryone() {
			r.streams.report(route.Diagnostic{
				Severity: route.Warning, Reason: policy.TrustEveryone, Origin: origin,
				Message: "clients come with a PROXY protocol header, and proxy-real-ip-cidr lets every address send one",
				Effect:  "any client can choose the address it is seen as",
			})
		}
		r.streams.services = append(r.streams.services, service)
	}
	slices.SortFunc(r.streams.services, func(a, b *tcpService) int { return int(a.port) - int(b.port) })
}

func (r *Resolver) readTCPService(port, value string) (*tcpService, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || n == 0 || port[0] == '0' || port[0] == '+':
		return nil, errors.New("want a port from 1 to 65535 as the key")
	case slices.Contains(r.options.OwnPorts, uint16(n)):
		return nil, fmt.Errorf("port %d is Usher's own", n)
	}
	s := &tcpService{port: uint16(n)}
	parts := strings.Split(strings.TrimSpace(value), ":")
	namespace, name, ok := strings.Cut(parts[0], "/")
	if len(parts) < 2 || len(parts) > 4 || !ok || !isLabel(namespace) || !isDNSName(name) || parts[1] == "" {
		return nil, errors.New("want namespace/service:port, perhaps followed by :PROXY or :PROXY:PROXY or ::PROXY")
	}
	s.backend = backendKey{object.Key{Namespace: namespace, Name: name}, parts[1]}
	for i, word := range parts[2:] {
		if word != "" && !strings.EqualFold(word, "PROXY") {
			return nil, fmt.Errorf("want PROXY or nothing instead of %q", word)
		}
		if i == 0 {
			s.decode = word != ""
		} else {
			s.encode = word != ""
		}
	}
	return s, nil
}

// readUDP says for each entry that it is not served.
func (r *Resolver) readUDP() {
	key := r.options.UDPServices
	configMap := r.streamsOf(key)
	if configMap == nil {
		return
	}
	for _, port := range sortedKeys(configMap.Data) {
		r.streams.report(route.Diagnostic{
			Severity: route.Error, Reason: policy.UDPService, Origin: policy.Origin{Object: configMapRef(key), Field: fmt.Sprintf("data[%q]", port)},
			Message: fmt.Sprintf("%q: %q is a UDP service; Usher forwards HTTP and TCP", port, configMap.Data[port]),
			Effect:  "the port is not opened; a Service of type LoadBalancer or NodePort reaches its Pods",
		})
	}
}

// streamsOf is the ConfigMap under key; nil if there is none, which is said if one is wanted.
func (r *Resolver) streamsOf(key object.Key) *corev1.ConfigMap {
	if key == (object.Key{}) {
		return nil
	}
	configMap := r.work.snapshot.ConfigMaps[key]
	if configMap == nil {
		r.streams.report(route.Diagnostic{
			Severity: route.Warning, Reason: policy.NoConfigMap, Origin: policy.Origin{Object: configMapRef(key), Field: "metadata.name"},
			Message: fmt.Sprintf("the ConfigMap of services %s %s", key, r.work.snapshot.Absent(object.ConfigMap, key)), Effect: "no port is opened for it",
		})
	}
	return configMap
}

func (s *streams) report(d route.Diagnostic) { s.diagnostics = append(s.diagnostics, d) }

// closedPort is the Diagnostic for a port that could not be listened on.
func (r *Resolver) closedPort(p object.Problem) route.Diagnostic {
	return route.Diagnostic{
		Severity: route.Error, Reason: policy.PortUnavailable,
		Origin:  policy.Origin{Object: configMapRef(r.options.TCPServices), Field: fmt.Sprintf("data[\"%d\"]", p.Port)},
		Message: fmt.Sprintf("port %d cannot be listened on: %s", p.Port, p.Message), Effect: "connections to it are refused; it is tried again",
	}
}

// releaseStream is release for an entry.
func (b *backends) releaseStream(key backendKey, stream *tcpService) {
	s := b.byKey[key]
	s.users = slices.DeleteFunc(s.users, func(u user) bool { return u.stream == stream })
	b.stale[s] = true
}
