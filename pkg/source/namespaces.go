package source

import (
	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// namespaces leaves out the Ingresses of namespaces that a label selector does not match. It keeps every Ingress, since a label may
// come later. With a nil selector it keeps and leaves out nothing.
type namespaces struct {
	selector  labels.Selector
	matching  map[string]bool
	ingresses map[object.Key]*networkingv1.Ingress
}

func newNamespaces(selector labels.Selector) namespaces {
	return namespaces{selector: selector, matching: map[string]bool{}, ingresses: map[object.Key]*networkingv1.Ingress{}}
}

// admit reports whether an Ingress is to be used now.
func (n *namespaces) admit(o *networkingv1.Ingress) bool {
	if n.selector == nil {
		return true
	}
	n.ingresses[object.KeyOf(o)] = o
	return n.matching[o.Namespace]
}

func (n *namespaces) drop(k object.Key) { delete(n.ingresses, k) }

// namespace takes in the labels of a Namespace, and puts in or takes out its Ingresses.
func (n *namespaces) namespace(o metav1.Object, s *store) {
	ns, ok := o.(*corev1.Namespace)
	if !ok || n.selector == nil {
		return
	}
	matches := n.selector.Matches(labels.Set(ns.Labels))
	if matches == n.matching[ns.Name] {
		return
	}
	n.matching[ns.Name] = matches
	for k, ingress := range n.ingresses {
		switch {
		case k.Namespace != ns.Name:
		case matches:
			s.put(ingress)
		default:
			s.remove(object.Ingress, k)
		}
	}
}

// kept are the Ingresses that were read, in use or not.
func (n *namespaces) kept() []object.Key {
	keys := make([]object.Key, 0, len(n.ingresses))
	for k := range n.ingresses {
		keys = append(keys, k)
	}
	return keys
}
