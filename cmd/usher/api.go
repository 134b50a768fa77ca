package main

import (
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"
	networkingv1 "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
)

// api is a client of the groups of the Kubernetes API that Usher uses.
type api struct {
	host         string // of the API server, as the configuration has it
	core         *corev1.CoreV1Client
	discovery    *discoveryv1.DiscoveryV1Client
	networking   *networkingv1.NetworkingV1Client
	coordination *coordinationv1.CoordinationV1Client
}

func (a *api) CoreV1() corev1.CoreV1Interface                         { return a.core }
func (a *api) DiscoveryV1() discoveryv1.DiscoveryV1Interface          { return a.discovery }
func (a *api) NetworkingV1() networkingv1.NetworkingV1Interface       { return a.networking }
func (a *api) CoordinationV1() coordinationv1.CoordinationV1Interface { return a.coordination }

// newAPI makes the clients, which share connections.
func newAPI(config *rest.Config) (*api, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	a := api{host: config.Host}
	if a.core, err = corev1.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	if a.discovery, err = discoveryv1.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	if a.networking, err = networkingv1.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	if a.coordination, err = coordinationv1.NewForConfigAndClient(config, client); err != nil {
		return nil, err
	}
	return &a, nil
}
