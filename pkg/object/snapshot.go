// Package object holds what Usher read from Kubernetes at one instant.
//
// A Snapshot is the only thing that flows from a source (informers, or a folder of YAML) to the resolver. It carries API types as
// they are and no client: whoever holds a Snapshot can read it for as long as it likes and can reach nothing else.
//
// A source builds a Snapshot copy-on-write: the map of a kind is shared with the previous Snapshot unless an object of that kind
// changed (a part of it, for EndpointSlices). Nothing in a Snapshot, neither a map nor an object in it, is ever written after it was handed over.
package object

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Key names a namespaced object. Namespace is empty for cluster-scoped kinds.
type Key struct{ Namespace, Name string }

// String is "namespace/name", or "name" for a cluster-scoped object.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}

// Kind is a kind of object that Usher reads, by its Kubernetes name.
type Kind string

// The kinds Usher reads.
const (
	Ingress       Kind = "Ingress"
	IngressClass  Kind = "IngressClass"
	Service       Kind = "Service"
	EndpointSlice Kind = "EndpointSlice"
	Secret        Kind = "Secret"
	ConfigMap     Kind = "ConfigMap"
	Namespace     Kind = "Namespace"
	Pod           Kind = "Pod"
)

// Snapshot is every object Usher uses, as one consistent set of immutable maps. A nil map means no object of that kind.
type Snapshot struct {
	Ingresses      map[Key]*networkingv1.Ingress
	IngressClasses map[string]*networkingv1.IngressClass
	Services       map[Key]*corev1.Service
	// EndpointSlices are keyed by their Service (label kubernetes.io/service-name), in no particular order.
	EndpointSlices EndpointSlices
	Secrets        map[Key]*corev1.Secret
	ConfigMaps     map[Key]*corev1.ConfigMap
	Namespaces     map[string]*corev1.Namespace
	// Pods only tell why a Service has no endpoints. Empty where they are not read, which is the rule.
	Pods map[Key]*corev1.Pod

	// Changes are the objects that differ from the Snapshot before this one; an EndpointSlice is named by its Service.
	// nil means unknown: compare everything.
	Changes []Change
	// Since is when the oldest of Changes happened: when the source saw it, or for an EndpointSlice when its annotation
	// endpoints.kubernetes.io/last-change-trigger-time says, if that is earlier and plausible. Zero if unknown.
	Since time.Time

	// Unread says why objects that others name are not here, where the cause is another than that they do not exist: "may not be read:
	// ...". Without a Key it is about every object of a kind.
	Unread map[Change]string
	// LastGood are, for Secrets whose certificate became unusable by an update, the last versions with a usable one.
	LastGood map[Key]*corev1.Secret

	// Problems are inputs that could not be read at all (a file that does not parse, an unknown kind). The rest is usable.
	Problems []Problem
}

// Change names one object that was added, updated or deleted.
type Change struct {
	Kind Kind
	Key  Key
}

// Problem is an input that gave no object: a file and document, and why.
type Problem struct {
	Where   string // "shop.yaml:12", or the API path
	Message string
	Port    uint16 // if not 0, a TCP port that could not be listened on; Where is empty then
}

// Absent says why an object is not in the Snapshot, as the end of a sentence: "does not exist", or what Unread says.
func (s *Snapshot) Absent(kind Kind, k Key) string {
	for _, c := range []Change{{kind, k}, {Kind: kind}} {
		if why := s.Unread[c]; why != "" {
			return why
		}
	}
	return "does not exist"
}
