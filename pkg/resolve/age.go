package resolve

import (
	"cmp"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/usher-ingress/usher/pkg/object"
)

// older orders Ingresses by who wins: one that stays before one that is being deleted, the older one, then by namespace and name.
func older(a, b *ingress) int {
	return cmp.Or(
		compareBools(a.ending, b.ending),
		a.object.CreationTimestamp.Compare(b.object.CreationTimestamp.Time),
		cmp.Compare(a.ref.Namespace, b.ref.Namespace), cmp.Compare(a.ref.Name, b.ref.Name),
	)
}

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// isEnding reports whether an Ingress is being deleted, or its namespace is, with whatever it sends requests to.
func (r *Resolver) isEnding(object *networkingv1.Ingress) bool {
	namespace := r.work.snapshot.Namespaces[object.Namespace]
	return object.DeletionTimestamp != nil || namespace != nil && namespace.DeletionTimestamp != nil
}

// endingChanged reports whether the deletion of any namespace began or is no more.
func (r *Resolver) endingChanged(changed *changes) bool {
	ends := func(s *object.Snapshot, name string) bool {
		return s.Namespaces[name] != nil && s.Namespaces[name].DeletionTimestamp != nil
	}
	return slices.ContainsFunc(changed.namespaces, func(name string) bool { return ends(r.previous, name) != ends(r.work.snapshot, name) })
}
