//go:build linux

package conformance

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// stage is where one Feature is played: its namespace and what stands there.
type stage struct {
	namespace, class string
	pods             pods
	authority        *cluster.Authority
	certificates     map[string]cluster.KeyPair // by Secret
}

// objects are all that a Step has.
func (s *stage) objects(step *Step) ([]*unstructured.Unstructured, error) {
	var typed []runtime.Object
	if step.Renew {
		clear(s.certificates)
	}
	services := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(step.Ingresses)) {
		spec := step.Ingresses[name]
		if spec.IngressClassName == nil {
			spec.IngressClassName = &s.class
		}
		typed = append(typed, &networkingv1.Ingress{TypeMeta: kind("networking.k8s.io/v1", "Ingress"), ObjectMeta: s.named(name), Spec: spec})
		for _, service := range backends(&spec) {
			services[service] = true
		}
		for _, tls := range spec.TLS {
			secret, err := s.secret(tls.SecretName, tls.Hosts)
			if err != nil {
				return nil, err
			}
			typed = append(typed, secret)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		has, err := s.service(name, step.Services[name])
		if err != nil {
			return nil, err
		}
		typed = append(typed, has...)
	}
	return untyped(typed)
}

// backends are the Services that an Ingress names.
func backends(spec *networkingv1.IngressSpec) (all []string) {
	if b := spec.DefaultBackend; b != nil && b.Service != nil {
		all = append(all, b.Service.Name)
	}
	for _, rule := range spec.Rules {
		for _, path := range rule.HTTP.Paths {
			all = append(all, path.Backend.Service.Name)
		}
	}
	return all
}

// service is a Service with port 80, named http, and a slice for each of its
// endpoints: they have the same address, and a slice has one list of ports.
func (s *stage) service(name string, has Service) ([]runtime.Object, error) {
	if has.Missing {
		return nil, nil
	}
	n := max(has.Endpoints, 1)
	listening, err := s.pods.need(name, n)
	if err != nil {
		return nil, err
	}
	all := []runtime.Object{&corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: s.named(name), Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")}}}}}
	for i, pod := range listening {
		ready, portName, port := i < n-has.Unready, "http", int32(pod.Address().Port())
		slice := &discoveryv1.EndpointSlice{
			TypeMeta: kind("discovery.k8s.io/v1", "EndpointSlice"), ObjectMeta: s.named(fmt.Sprintf("%s-%d", name, i)), AddressType: discoveryv1.AddressTypeIPv4,
			Ports:     []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{s.pods.address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}}},
		}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		all = append(all, slice)
	}
	return all, nil
}

// secret has a certificate of the stage's own authority.
func (s *stage) secret(name string, hosts []string) (*corev1.Secret, error) {
	pair, ok := s.certificates[name]
	if !ok {
		var err error
		if pair, err = s.authority.Server(hosts...); err != nil {
			return nil, err
		}
		s.certificates[name] = pair
	}
	return &corev1.Secret{TypeMeta: kind("v1", "Secret"), ObjectMeta: s.named(name), Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: pair.Cert, corev1.TLSPrivateKeyKey: pair.Key}}, nil
}

func (s *stage) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

// untyped are the objects as they are written down, without a status.
func untyped(typed []runtime.Object) (all []*unstructured.Unstructured, err error) {
	for _, object := range typed {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, err
		}
		delete(fields, "status")
		all = append(all, &unstructured.Unstructured{Object: fields})
	}
	return all, nil
}
