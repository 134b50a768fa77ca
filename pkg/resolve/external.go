package resolve

import (
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

func (f *finding) isExternal() bool { return f.service.Spec.Type == corev1.ServiceTypeExternalName }

// findExternalPort finds the port to dial. As in ingress-nginx it need not be one that the Service lists, if the Ingress gives its
// number; a name that the Service does not list means nothing.
func (f *finding) findExternalPort() bool {
	ports := f.service.Spec.Ports
	for i := range ports {
		if isTCP(ports[i].Protocol) && f.isNamed(&ports[i]) {
			f.port = ports[i]
			return true
		}
	}
	number, err := strconv.ParseUint(f.key.port, 10, 16)
	if err != nil {
		f.failPort(policy.ExternalNamePort)
		return false
	}
	f.port = corev1.ServicePort{Port: int32(number)}
	return true
}

// findExternal gives a Service of type ExternalName its one endpoint: the name with the port's targetPort. The name is resolved when
// a connection is made, and the addresses it leads to are checked there once more; what can be refused by name is refused here.
func (f *finding) findExternal() {
	name := strings.TrimSuffix(strings.ToLower(f.service.Spec.ExternalName), ".")
	port, ok := portNumber(f.targetNumber())
	if !ok {
		f.fail(policy.NoPort, "Service %s has the port number %d; want one from 1 to 65535", f.key.service, f.targetNumber())
		return
	}
	endpoint := route.Endpoint{Ready: true, Serving: true}
	if addr, err := netip.ParseAddr(name); err == nil {
		endpoint.Addr = netip.AddrPortFrom(addr.Unmap(), port)
		if why := f.resolver.rules.Refuses(endpoint.Addr); why != "" {
			f.fail(policy.ExternalNameRefused, "Service %s has the externalName %s, which is %s%s", f.key.service, name, why, opened(why))
			return
		}
		f.Endpoints = []route.Endpoint{endpoint}
		return
	}
	if !f.checkExternal(name) {
		return
	}
	endpoint.Name = name + ":" + strconv.Itoa(int(port))
	f.Endpoints = []route.Endpoint{endpoint}
}

func (f *finding) checkExternal(name string) bool {
	switch {
	case !isDNSName(name):
		f.fail(policy.BadBackend, "Service %s has the externalName %q; want a DNS name", f.key.service, f.service.Spec.ExternalName)
	case isLocalName(name) && !f.resolver.options.AllowLoopback:
		f.fail(policy.ExternalNameRefused, "Service %s has the externalName %s, which is the machine Usher runs on", f.key.service, name)
	case isServerName(name):
		f.fail(policy.ExternalNameRefused, "Service %s has the externalName %s, which is the API server", f.key.service, name)
	case isNumeric(name):
		f.fail(policy.ExternalNameRefused, "Service %s has the externalName %s, which some resolvers read as an address; want a DNS name, or an address in full", f.key.service, name)
	default:
		return true
	}
	return false
}

func isLocalName(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "localhost.localdomain"
}

// isServerName reports whether a name is the API server's inside a cluster, with or without the cluster's domain.
func isServerName(name string) bool {
	for _, server := range []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc"} {
		if name == server {
			return true
		}
	}
	return strings.HasPrefix(name, "kubernetes.default.svc.")
}

// isNumeric reports whether the last label is a number, as in "127.1" or "0x7f000001": no such name exists in DNS, and resolvers of the
// C library read it as an address.
func isNumeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil
}
