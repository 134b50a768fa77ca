package resolve

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/usher-ingress/usher/pkg/object"
)

// changes are the objects that differ between two Snapshots.
type changes struct {
	all        bool // the first Snapshot: nothing is known yet
	ingresses  []object.Key
	classes    bool
	namespaces []string
	services   map[object.Key]bool // the Service itself or its EndpointSlices
	pods       map[string]bool     // namespaces in which Pods changed
	secrets    map[object.Key]bool
	configMaps map[object.Key]bool
}

// compare finds what differs. It believes s.Changes unless that is nil or nothing was seen before.
func compare(before, s *object.Snapshot, first bool) *changes {
	c := &changes{all: first, services: map[object.Key]bool{}, pods: map[string]bool{}, secrets: map[object.Key]bool{}, configMaps: map[object.Key]bool{}}
	if first || s.Changes == nil {
		c.everything(before, s)
		return c
	}
	seen := make(map[object.Change]bool, len(s.Changes))
	for _, change := range s.Changes {
		if seen[change] {
			continue
		}
		seen[change] = true
		c.note(change)
	}
	return c
}

func (c *changes) note(change object.Change) {
	switch change.Kind {
	case object.Ingress:
		c.ingresses = append(c.ingresses, change.Key)
	case object.IngressClass:
		c.classes = true
	case object.Namespace:
		c.namespaces = append(c.namespaces, change.Key.Name)
	case object.Service, object.EndpointSlice:
		c.services[change.Key] = true
	case object.Pod:
		c.pods[change.Key.Namespace] = true
	case object.Secret:
		c.secrets[change.Key] = true
	case object.ConfigMap:
		c.configMaps[change.Key] = true
	}
}

func (c *changes) everything(before, s *object.Snapshot) {
	differing(before.Ingresses, s.Ingresses, sameVersion, func(k object.Key) { c.ingresses = append(c.ingresses, k) })
	differing(before.IngressClasses, s.IngressClasses, sameVersion, func(string) { c.classes = true })
	differing(before.Namespaces, s.Namespaces, sameVersion, func(name string) { c.namespaces = append(c.namespaces, name) })
	differing(before.Services, s.Services, sameVersion, func(k object.Key) { c.services[k] = true })
	for k, group := range s.EndpointSlices.All() {
		if !sameSlices(before.EndpointSlices.Of(k), group) {
			c.services[k] = true
		}
	}
	for k := range before.EndpointSlices.All() {
		if s.EndpointSlices.Of(k) == nil {
			c.services[k] = true
		}
	}
	differing(before.Pods, s.Pods, sameVersion, func(k object.Key) { c.pods[k.Namespace] = true })
	differing(before.Secrets, s.Secrets, sameVersion, func(k object.Key) { c.secrets[k] = true })
	differing(before.ConfigMaps, s.ConfigMaps, sameVersion, func(k object.Key) { c.configMaps[k] = true })
	differing(before.LastGood, s.LastGood, sameVersion, func(k object.Key) { c.secrets[k] = true })
	differing(before.Unread, s.Unread, func(a, b string) bool { return a == b }, c.note)
}

// differing calls each for every key whose value was added, removed or is not the same.
func differing[K comparable, V any](before, after map[K]V, same func(a, b V) bool, each func(K)) {
	for k, v := range after {
		if old, ok := before[k]; !ok || !same(old, v) {
			each(k)
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			each(k)
		}
	}
}

// versioned is any pointer to an API object.
type versioned interface {
	comparable
	metav1.Object
}

// sameVersion reports whether two objects are one version of one object. Without a version only the very same pointer counts.
func sameVersion[T versioned](a, b T) bool {
	return a == b || a.GetUID() == b.GetUID() && a.GetResourceVersion() != "" && a.GetResourceVersion() == b.GetResourceVersion()
}

func sameSlices(a, b []*discoveryv1.EndpointSlice) bool { return slices.EqualFunc(a, b, sameVersion) }
