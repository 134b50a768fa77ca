package object

import (
	"fmt"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Trim drops, in place, what Usher never reads: who wrote which field, kubectl's copy of the whole object, labels that select
// nothing here, and the large parts of each kind that have no bearing on routing. Half the memory of a cluster's Ingresses is
// managedFields. It is for an object that nobody else holds yet. The status of an Ingress stays, since package status compares with
// it.
func Trim(o metav1.Object) {
	o.SetManagedFields(nil)
	o.SetOwnerReferences(nil)
	o.SetFinalizers(nil)
	if a := o.GetAnnotations(); a != nil {
		delete(a, corev1.LastAppliedConfigAnnotation)
	}
	switch o := o.(type) {
	case *networkingv1.Ingress:
		o.Labels = nil
		o.Spec.Rules = exact(o.Spec.Rules)
		for i := range o.Spec.Rules {
			if http := o.Spec.Rules[i].HTTP; http != nil {
				http.Paths = exact(http.Paths)
			}
		}
	case *corev1.Service:
		o.Labels, o.Annotations = nil, nil
		o.Spec.Ports = exact(o.Spec.Ports)
		o.Status = corev1.ServiceStatus{}
	case *discoveryv1.EndpointSlice:
		o.Ports, o.Endpoints = exact(o.Ports), exact(o.Endpoints)
		trimEndpoints(o.Endpoints)
	case *corev1.Secret:
		o.Labels, o.StringData = nil, nil
		o.Annotations = only(o.Annotations, ACMEHost)
	case *corev1.ConfigMap:
		o.Labels, o.Annotations = nil, nil
		o.BinaryData = nil
	case *corev1.Namespace:
		o.Spec, o.Status = corev1.NamespaceSpec{}, corev1.NamespaceStatus{}
	case *corev1.Pod:
		trimPod(o)
	}
}

// ACMEHost is the annotation on a Secret that Usher itself wrote, with the host whose certificate ACME gave. A Secret without it is
// somebody else's, and is never written.
const ACMEHost = "usher.dev/acme-host"

// only is what is left of annotations when all but one are dropped; nil if that one is not there.
func only(annotations map[string]string, name string) map[string]string {
	value, ok := annotations[name]
	if !ok {
		return nil
	}
	return map[string]string{name: value}
}

// trimPod leaves what says whether a Service may send requests to a Pod, and why not: ports, readiness probes, and conditions without
// their times, which change all the time.
func trimPod(o *corev1.Pod) {
	o.Annotations = nil
	spec := corev1.PodSpec{HostNetwork: o.Spec.HostNetwork}
	for _, c := range o.Spec.Containers {
		spec.Containers = append(spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports, ReadinessProbe: c.ReadinessProbe})
	}
	status := corev1.PodStatus{Phase: o.Status.Phase, Reason: o.Status.Reason}
	for _, c := range o.Status.Conditions {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
	}
	for _, c := range o.Status.ContainerStatuses {
		now := corev1.ContainerStatus{Name: c.Name, Ready: c.Ready}
		if w := c.State.Waiting; w != nil {
			now.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason}
		}
		if t := c.State.Terminated; t != nil {
			now.State.Terminated = &corev1.ContainerStateTerminated{Reason: t.Reason, ExitCode: t.ExitCode}
		}
		status.ContainerStatuses = append(status.ContainerStatuses, now)
	}
	o.Spec, o.Status = spec, status
}

// exact is list without the room that a decoder leaves, which is for four elements where there is one.
func exact[T any](list []T) []T {
	if len(list) == cap(list) {
		return list
	}
	return append(make([]T, 0, len(list)), list...)
}

// trimEndpoints also lets the endpoints of a cluster share what few of them differ in.
func trimEndpoints(endpoints []discoveryv1.Endpoint) {
	for i := range endpoints {
		e := &endpoints[i]
		e.DeprecatedTopology = nil
		e.Addresses = exact(e.Addresses)
		for _, condition := range []**bool{&e.Conditions.Ready, &e.Conditions.Serving, &e.Conditions.Terminating} {
			*condition = shared(*condition)
		}
		for _, place := range []**string{&e.NodeName, &e.Zone} {
			if *place != nil {
				**place = unique.Make(**place).Value()
			}
		}
		if t := e.TargetRef; t != nil {
			e.TargetRef = &corev1.ObjectReference{Kind: unique.Make(t.Kind).Value(), Namespace: unique.Make(t.Namespace).Value(), Name: t.Name, UID: t.UID}
		}
	}
}

// yes and no are what the conditions of all endpoints point to. Never written, like everything in a Snapshot.
var yes, no = true, false

func shared(b *bool) *bool {
	switch {
	case b == nil:
		return nil
	case *b:
		return &yes
	}
	return &no
}

// KindOf tells which kind an API object is of, and whether it is one that Usher reads.
func KindOf(o metav1.Object) (Kind, bool) {
	switch o.(type) {
	case *networkingv1.Ingress:
		return Ingress, true
	case *networkingv1.IngressClass:
		return IngressClass, true
	case *corev1.Service:
		return Service, true
	case *discoveryv1.EndpointSlice:
		return EndpointSlice, true
	case *corev1.Secret:
		return Secret, true
	case *corev1.ConfigMap:
		return ConfigMap, true
	case *corev1.Namespace:
		return Namespace, true
	case *corev1.Pod:
		return Pod, true
	}
	return Kind(fmt.Sprintf("%T", o)), false
}

// KeyOf is the namespace and name of an object.
func KeyOf(o metav1.Object) Key { return Key{o.GetNamespace(), o.GetName()} }
