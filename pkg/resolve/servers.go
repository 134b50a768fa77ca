package resolve

import (
	"net/netip"
	"slices"

	"github.com/usher-ingress/usher/pkg/object"
)

// The API server's own addresses stand in the EndpointSlice "kubernetes" of the namespace "default", which API servers write themselves.
// A backend there would be asked in Usher's place on the network. Other slices of that Service are not believed: whoever may write one
// could deny others their endpoints by it.

const serverSlice = "kubernetes"

// findServers reads where the API servers listen; if that changed, every Service is looked at again.
func (r *Resolver) findServers(changed *changes) {
	key := object.Key{Namespace: "default", Name: serverSlice}
	if !changed.all && !changed.services[key] {
		return
	}
	var found []netip.AddrPort
	for _, slice := range r.work.snapshot.EndpointSlices.Of(key) {
		if slice.Name != serverSlice {
			continue
		}
		for _, e := range slice.Endpoints {
			for _, text := range e.Addresses {
				addr, err := netip.ParseAddr(text)
				if err != nil {
					continue
				}
				for _, p := range slice.Ports {
					if p.Port != nil && *p.Port > 0 && *p.Port <= 65535 {
						found = append(found, netip.AddrPortFrom(addr.Unmap(), uint16(*p.Port)))
					}
				}
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	if slices.Equal(found, r.rules.Servers) {
		return
	}
	r.rules.Servers = found
	for service := range r.work.snapshot.Services {
		changed.services[service] = true
	}
}
