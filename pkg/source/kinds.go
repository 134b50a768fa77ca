package source

import (
	"slices"

	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// kinds starts the feeds that read all objects of a kind. The Cluster is locked.
func (c *Cluster) kinds() []*feed {
	api, ns := c.options.Client, c.options.Namespace
	feeds := []*feed{
		start(c.newFeed(object.Ingress, c.inNamespace), api.NetworkingV1().Ingresses(ns), &networkingv1.Ingress{}, labelled(c.options.IngressSelector)),
		start(c.newFeed(object.IngressClass, everything), api.NetworkingV1().IngressClasses(), &networkingv1.IngressClass{}, metav1.ListOptions{}),
		start(c.newFeed(object.Service, c.inNamespace), api.CoreV1().Services(ns), &corev1.Service{}, metav1.ListOptions{}),
		start(c.newFeed(object.EndpointSlice, c.inNamespace), api.DiscoveryV1().EndpointSlices(ns), &discoveryv1.EndpointSlice{}, metav1.ListOptions{}),
	}
	if !c.options.SecretsByName {
		narrow := metav1.ListOptions{FieldSelector: usableSecrets()}
		feeds = append(feeds, start(c.newFeed(object.Secret, c.inNamespace), api.CoreV1().Secrets(ns), &corev1.Secret{}, narrow))
	}
	if ns == "" { // labels, for NamespaceSelector, and whether a namespace is being deleted
		feeds = append(feeds, start(c.newFeed(object.Namespace, everything), api.CoreV1().Namespaces(), &corev1.Namespace{}, metav1.ListOptions{}))
	}
	if c.options.Pods {
		feeds = append(feeds, start(c.newFeed(object.Pod, c.inNamespace), api.CoreV1().Pods(ns), &corev1.Pod{}, metav1.ListOptions{}))
	}
	return feeds
}

// labelled asks for objects whose labels match; with nil for all.
func labelled(selector labels.Selector) metav1.ListOptions {
	if selector == nil {
		return metav1.ListOptions{}
	}
	return metav1.ListOptions{LabelSelector: selector.String()}
}

func everything(object.Key) bool { return true }

// inNamespace tells what the feeds of all objects read.
func (c *Cluster) inNamespace(k object.Key) bool {
	return c.options.Namespace == "" || k.Namespace == c.options.Namespace
}

// usableSecrets leaves out the Secrets that can be no certificate and no password: the bulk of a cluster's Secrets, and the ones
// with most to lose.
func usableSecrets() string {
	types := []corev1.SecretType{"helm.sh/release.v1", "usher.dev/acme", corev1.SecretTypeServiceAccountToken, corev1.SecretTypeDockerConfigJson,
		corev1.SecretTypeDockercfg, corev1.SecretTypeSSHAuth, corev1.SecretTypeBootstrapToken}
	selectors := make([]fields.Selector, 0, len(types))
	for _, t := range types {
		selectors = append(selectors, fields.OneTermNotEqualSelector("type", string(t)))
	}
	return fields.AndSelectors(selectors...).String()
}

// always is what is read by name whoever refers to it.
func (c *Cluster) always() []object.Change {
	var all []object.Change
	add := func(kind object.Kind, keys []object.Key) {
		for _, k := range keys {
			all = append(all, object.Change{Kind: kind, Key: k})
		}
	}
	add(object.ConfigMap, c.options.ConfigMaps)
	add(object.Secret, c.options.Secrets)
	add(object.Service, c.options.Services)
	add(object.EndpointSlice, c.options.Services) // of that Service
	return all
}

// covered reports whether a feed of all objects of the kind reads this one anyway.
func (c *Cluster) covered(r object.Change) bool {
	switch r.Kind {
	case object.Secret:
		return !c.options.SecretsByName && c.inNamespace(r.Key)
	case object.Service, object.EndpointSlice:
		return c.inNamespace(r.Key)
	case object.ConfigMap:
		return false
	}
	return true
}

// startNamed starts the feed of one object. For an EndpointSlice the name is its Service's. The Cluster is locked.
func (c *Cluster) startNamed(r object.Change) *feed {
	api, ns := c.options.Client.CoreV1(), r.Key.Namespace
	byName := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Key.Name).String()}
	f := c.newFeed(r.Kind, func(k object.Key) bool { return k == r.Key })
	f.name, f.namespace = r.Key.Name, ns
	f.required = r.Kind == object.ConfigMap && slices.Contains(c.options.ConfigMaps, r.Key)
	f.many = r.Kind == object.Secret && !slices.Contains(c.options.Secrets, r.Key)
	switch r.Kind {
	case object.Secret:
		return start(f, api.Secrets(ns), &corev1.Secret{}, byName)
	case object.ConfigMap:
		return start(f, api.ConfigMaps(ns), &corev1.ConfigMap{}, byName)
	case object.Service:
		return start(f, api.Services(ns), &corev1.Service{}, byName)
	}
	f.only = func(k object.Key) bool { return c.store.endpointSlices.service[k] == r.Key }
	ofService := metav1.ListOptions{LabelSelector: labels.Set{discoveryv1.LabelServiceName: r.Key.Name}.String()}
	return start(f, c.options.Client.DiscoveryV1().EndpointSlices(ns), &discoveryv1.EndpointSlice{}, ofService)
}

// stopNamed ends a feed and takes away what it read.
func (c *Cluster) stopNamed(f *feed) {
	f.dead = true
	f.stop()
	f.done()
	c.health.forget(f)
	for _, k := range slices.DeleteFunc(c.store.kinds[f.kind].keys(), func(k object.Key) bool { return !f.only(k) }) {
		c.store.remove(f.kind, k)
	}
	c.store.unread(object.Change{Kind: f.kind, Key: object.Key{Namespace: f.namespace, Name: f.name}}, "")
}
