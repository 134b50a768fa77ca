//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const (
	namespace = "tenant"
	className = "usher"
	services  = 20_000 // each with three endpoints
)

func class() *networkingv1.IngressClass {
	return &networkingv1.IngressClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "IngressClass"},
		ObjectMeta: metav1.ObjectMeta{Name: className},
		Spec:       networkingv1.IngressClassSpec{Controller: "usher.dev/ingress-controller"},
	}
}

// service is headless, so that the API server has no address to allocate; Usher goes to endpoints either way.
func service(name string) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/name": name}},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
}

func slice(name string, addresses ...string) *discoveryv1.EndpointSlice {
	port, portName, protocol, ready := int32(8080), "http", corev1.ProtocolTCP, true
	s := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-1", Labels: map[string]string{
			discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}},
	}
	for i, address := range addresses {
		node := fmt.Sprintf("node-%d", i)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: name + "-" + address, UID: "00000000-0000-4000-8000-000000000000"}})
	}
	return s
}

func serviceName(i int) string { return fmt.Sprintf("service-%d", i) }

// largeSlice gives Service i three endpoints; another turn gives it others.
func largeSlice(i, turn int) *discoveryv1.EndpointSlice {
	var addresses []string
	for e := range 3 {
		addresses = append(addresses, fmt.Sprintf("10.%d.%d.%d", i>>8, i&255, 1+(turn*3+e)%250))
	}
	return slice(serviceName(i), addresses...)
}

// path sends what begins with prefix to a Service.
func path(prefix, service string) networkingv1.HTTPIngressPath {
	kind := networkingv1.PathTypePrefix
	return networkingv1.HTTPIngressPath{Path: prefix, PathType: &kind, Backend: networkingv1.IngressBackend{
		Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}}}
}

func ingress(name string, rules ...networkingv1.IngressRule) *networkingv1.Ingress {
	class := className
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{
			"nginx.ingress.kubernetes.io/proxy-read-timeout": "30", "nginx.ingress.kubernetes.io/proxy-buffering": "on"}},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: rules},
	}
}

func rule(host string, paths ...networkingv1.HTTPIngressPath) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths}}}
}

func largeIngress(i int) *networkingv1.Ingress {
	var rules []networkingv1.IngressRule
	for h := range 3 {
		rules = append(rules, rule(fmt.Sprintf("host-%d-%d.example.com", i, h),
			path("/", serviceName(2*i%services)), path("/api", serviceName((2*i+1)%services))))
	}
	return ingress(fmt.Sprintf("ingress-%d", i), rules...)
}

// writeFolder writes what a cluster of so many Ingresses would hold: a file for every 100 Services and one for every 100 Ingresses, as
// lists that kubectl get -o yaml or -o json writes.
func writeFolder(dir, format string, ingresses int) error {
	if err := writeList(dir, "class."+format, []any{class()}); err != nil {
		return err
	}
	for first := 0; first < max(ingresses, services); first += 100 {
		var objects, routes []any
		for i := first; i < first+100; i++ {
			if i < services {
				objects = append(objects, service(serviceName(i)), largeSlice(i, 0))
			}
			if i < ingresses {
				routes = append(routes, largeIngress(i))
			}
		}
		if err := writeList(dir, fmt.Sprintf("services-%d.%s", first, format), objects); err != nil {
			return err
		}
		if err := writeList(dir, fmt.Sprintf("ingresses-%d.%s", first, format), routes); err != nil {
			return err
		}
	}
	return nil
}

// writeList writes a file at once, by rename: a folder that is watched never shows half of it.
func writeList(dir, name string, items []any) error {
	if len(items) == 0 {
		return nil
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	data, err := json.MarshalIndent(list, "", "    ")
	if filepath.Ext(name) == ".yaml" {
		data, err = yaml.Marshal(list)
	}
	if err != nil {
		return err
	}
	hidden := filepath.Join(dir, "."+name)
	if err := os.WriteFile(hidden, data, 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(dir, name))
}

// inParallel calls do for 0 to n-1 from 32 goroutines, and returns the first error.
func inParallel(n int, do func(int) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	next := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return failed
}

// fill makes Services, or Ingresses from number first on, in the API server.
func fillServices(ctx context.Context, client kubernetes.Interface) error {
	return inParallel(services, func(i int) error {
		if _, err := client.CoreV1().Services(namespace).Create(ctx, service(serviceName(i)), metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, largeSlice(i, 0), metav1.CreateOptions{})
		return err
	})
}

func fillIngresses(ctx context.Context, client kubernetes.Interface, first, end int) error {
	return inParallel(end-first, func(i int) error {
		_, err := client.NetworkingV1().Ingresses(namespace).Create(ctx, largeIngress(first+i), metav1.CreateOptions{})
		return err
	})
}
