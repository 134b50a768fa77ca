package source

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The functions below tell whether two versions of an object differ in nothing that Usher reads. What they leave out on purpose:
// resourceVersion, generation, status except that of Pods, and when an EndpointSlice was last changed.

func sameIngress(a, b *networkingv1.Ingress) bool {
	return sameMeta(a, b) && sameEnding(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameIngressClass(a, b *networkingv1.IngressClass) bool {
	return sameMeta(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameService(a, b *corev1.Service) bool {
	return sameMeta(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameSecret(a, b *corev1.Secret) bool {
	return sameMeta(a, b) && a.Type == b.Type && equality.Semantic.DeepEqual(a.Data, b.Data)
}

func sameConfigMap(a, b *corev1.ConfigMap) bool {
	return sameMeta(a, b) && maps.Equal(a.Data, b.Data)
}

// sameNamespace leaves out labels too: what they select is decided when they are read.
func sameNamespace(a, b *corev1.Namespace) bool { return a.UID == b.UID && sameEnding(a, b) }

func samePod(a, b *corev1.Pod) bool {
	return sameMeta(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec) && equality.Semantic.DeepEqual(a.Status, b.Status) && sameEnding(a, b)
}

func sameEndpointSlice(a, b *discoveryv1.EndpointSlice) bool {
	return a == b || a.UID == b.UID && a.AddressType == b.AddressType && maps.Equal(a.Labels, b.Labels) &&
		equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) && equality.Semantic.DeepEqual(a.Ports, b.Ports)
}

// sameEnding reports whether both are being deleted, or neither is.
func sameEnding(a, b metav1.Object) bool {
	return (a.GetDeletionTimestamp() == nil) == (b.GetDeletionTimestamp() == nil)
}

func sameMeta(a, b metav1.Object) bool {
	at, bt := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return a.GetUID() == b.GetUID() && at.Equal(&bt) &&
		maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations())
}
