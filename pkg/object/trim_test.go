package object

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTrimKeepsWhatIsRead(t *testing.T) {
	o := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", Labels: map[string]string{"a": "b"},
		Annotations:     map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "usher.dev/affinity": "cookie"},
		ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		OwnerReferences: []metav1.OwnerReference{{Name: "owner"}},
	}}
	o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}}
	Trim(o)
	if o.ManagedFields != nil || o.OwnerReferences != nil || len(o.Annotations) != 1 {
		t.Errorf("not trimmed: %+v", o.ObjectMeta)
	}
	if o.Annotations["usher.dev/affinity"] != "cookie" || o.Labels != nil || len(o.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("trimmed too much: %+v", o)
	}
}

func TestTrimKinds(t *testing.T) {
	service := &corev1.Service{Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}}}
	slice := &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{
		Addresses:          []string{"10.0.0.1"},
		DeprecatedTopology: map[string]string{"zone": "a"},
		Conditions:         discoveryv1.EndpointConditions{Ready: new(true), Serving: new(false)},
		TargetRef:          &corev1.ObjectReference{Kind: "Pod", Name: "shop-0", UID: "1", ResourceVersion: "7", FieldPath: "x"},
	}}}
	configMap := &corev1.ConfigMap{Data: map[string]string{"hsts": "false"}, BinaryData: map[string][]byte{"x": nil}}
	namespace := &corev1.Namespace{Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}}}
	for _, o := range []metav1.Object{service, slice, configMap, namespace} {
		Trim(o)
		Trim(o) // again does no harm
	}
	if service.Status.LoadBalancer.Ingress != nil || configMap.BinaryData != nil || len(configMap.Data) != 1 || namespace.Spec.Finalizers != nil {
		t.Errorf("%+v %+v %+v", service.Status, configMap, namespace.Spec)
	}
	e := slice.Endpoints[0]
	if c := e.Conditions; !*c.Ready || *c.Serving || c.Terminating != nil {
		t.Errorf("conditions %+v", c)
	}
	if want := (corev1.ObjectReference{Kind: "Pod", Name: "shop-0", UID: "1"}); *e.TargetRef != want || e.DeprecatedTopology != nil || len(e.Addresses) != 1 {
		t.Errorf("endpoint %+v, target %+v", e, e.TargetRef)
	}
}

func TestKindAndKey(t *testing.T) {
	o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "tls"}}
	if kind, ok := KindOf(o); kind != Secret || !ok || KeyOf(o).String() != "demo/tls" {
		t.Errorf("%s %v %s", kind, ok, KeyOf(o))
	}
	if _, ok := KindOf(&corev1.Node{}); ok {
		t.Error("a Pod is not read")
	}
	if got := (Key{Name: "usher"}).String(); got != "usher" {
		t.Errorf("key %q", got)
	}
}

func TestTrimPod(t *testing.T) {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "b"}}}
	probe := &corev1.Probe{PeriodSeconds: 1}
	o.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "secret"}},
		Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, ReadinessProbe: probe}}
	o.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "web", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s"}}}}}
	Trim(o)
	Trim(o) // again does no harm
	c := o.Spec.Containers[0]
	if c.Name != "web" || len(c.Ports) != 1 || c.ReadinessProbe != probe || o.Labels["app"] != "web" || o.Status.ContainerStatuses[0].State.Waiting.Reason != "CrashLoopBackOff" {
		t.Errorf("trimmed too much: %+v", o)
	}
	if c.Image != "" || c.Env != nil || o.Annotations != nil || !o.Status.Conditions[0].LastTransitionTime.IsZero() || o.Status.ContainerStatuses[0].State.Waiting.Message != "" {
		t.Errorf("not trimmed: %+v", o)
	}
}
