package source

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// invalid names the field that an API server would refuse the object for, and why; "" for a good one. It looks at what names an
// object, and leaves the rest to the resolver, which knows what each mistake does to traffic.
func invalid(o metav1.Object) (field, why string) {
	if o.GetName() == "" {
		if o.GetGenerateName() != "" {
			return "metadata.generateName", "metadata.name is missing: generateName needs an API server, give a name"
		}
		return "metadata", "metadata.name is missing"
	}
	if ns := o.GetNamespace(); ns != "" {
		if errs := validation.IsDNS1123Label(ns); len(errs) > 0 {
			return "metadata.namespace", fmt.Sprintf("metadata.namespace %q: %s", ns, errs[0])
		}
	}
	if errs := checkName(o)(o.GetName()); len(errs) > 0 {
		return "metadata.name", fmt.Sprintf("metadata.name %q: %s", o.GetName(), errs[0])
	}
	if s, ok := o.(*discoveryv1.EndpointSlice); ok && s.Labels[discoveryv1.LabelServiceName] == "" {
		return "metadata.labels", "the label " + discoveryv1.LabelServiceName + " is missing, so it belongs to no Service"
	}
	return "", ""
}

func checkName(o metav1.Object) func(string) []string {
	switch o.(type) {
	case *corev1.Service, *corev1.Namespace:
		return validation.IsDNS1123Label
	}
	return validation.IsDNS1123Subdomain
}

// setDefaults fills in what an API server would.
func setDefaults(o metav1.Object) {
	switch o := o.(type) {
	case *networkingv1.Ingress:
		defaultIngress(o)
	case *corev1.Service:
		defaultService(o)
	case *discoveryv1.EndpointSlice:
		defaultEndpointSlice(o)
	case *corev1.Secret:
		defaultSecret(o)
	case *corev1.Namespace:
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[corev1.LabelMetadataName] = o.Name
	}
}

// defaultIngress is kinder than an API server, which refuses a path without a type.
func defaultIngress(o *networkingv1.Ingress) {
	for _, rule := range o.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			if p := &rule.HTTP.Paths[i]; p.PathType == nil {
				t := networkingv1.PathTypeImplementationSpecific
				p.PathType = &t
			}
		}
	}
}

func defaultService(o *corev1.Service) {
	if o.Spec.Type == "" {
		o.Spec.Type = corev1.ServiceTypeClusterIP
	}
	if o.Spec.SessionAffinity == "" {
		o.Spec.SessionAffinity = corev1.ServiceAffinityNone
	}
	if o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP && o.Spec.SessionAffinityConfig == nil {
		seconds := corev1.DefaultClientIPServiceAffinitySeconds
		o.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	for i := range o.Spec.Ports {
		p := &o.Spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
}

func defaultEndpointSlice(o *discoveryv1.EndpointSlice) {
	if o.AddressType == "" {
		o.AddressType = addressType(o.Endpoints)
	}
	for i := range o.Ports {
		p := &o.Ports[i]
		if p.Name == nil {
			p.Name = new(string)
		}
		if p.Protocol == nil {
			tcp := corev1.ProtocolTCP
			p.Protocol = &tcp
		}
	}
}

// addressType is inferred from the first address; an API server would refuse a slice without one.
func addressType(endpoints []discoveryv1.Endpoint) discoveryv1.AddressType {
	i := slices.IndexFunc(endpoints, func(e discoveryv1.Endpoint) bool { return len(e.Addresses) > 0 })
	if i < 0 {
		return discoveryv1.AddressTypeIPv4
	}
	addr, err := netip.ParseAddr(endpoints[i].Addresses[0])
	switch {
	case err != nil:
		return discoveryv1.AddressTypeFQDN
	case addr.Is4():
		return discoveryv1.AddressTypeIPv4
	}
	return discoveryv1.AddressTypeIPv6
}

func defaultSecret(o *corev1.Secret) {
	if o.Type == "" {
		o.Type = corev1.SecretTypeOpaque
	}
	for k, v := range o.StringData {
		if o.Data == nil {
			o.Data = map[string][]byte{}
		}
		o.Data[k] = []byte(v)
	}
}
