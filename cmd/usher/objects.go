package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/source"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// readTimeout is how long a cluster may take to be read once.
const readTimeout = time.Minute

// table reads the objects once and resolves them, for commands that do not serve.
func (f *objectFlags) table(ctx context.Context) (*route.Table, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	options, err := f.resolveOptions()
	if err != nil {
		return nil, err
	}
	snapshot, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	options.ACME = true // who serves these objects may order what they ask for; they do not tell
	return resolve.New(options).Resolve(snapshot, time.Now()), nil
}

func (f *objectFlags) read(ctx context.Context) (*object.Snapshot, error) {
	if f.manifests != "" {
		selector, err := parseSelector("ingress-selector", f.ingressSelector)
		if err != nil {
			return nil, err
		}
		return source.ReadDir(f.manifests, selector)
	}
	options, _, err := f.clusterOptions()
	if err != nil {
		return nil, err
	}
	options.Pods = true
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return source.ReadCluster(ctx, options)
}

// clusterOptions connect to the API server of the flags.
func (f *objectFlags) clusterOptions() (source.ClusterOptions, *api, error) {
	config, err := f.restConfig()
	if err != nil {
		return source.ClusterOptions{}, nil, err
	}
	client, err := newAPI(config)
	if err != nil {
		return source.ClusterOptions{}, nil, fmt.Errorf("API server %s: %w", config.Host, err)
	}
	resolved, err := f.resolveOptions()
	if err != nil {
		return source.ClusterOptions{}, nil, err
	}
	o := source.ClusterOptions{
		Client:        client,
		Namespace:     f.namespace,
		ConfigMaps:    slices.Concat(named(resolved.ConfigMap), named(resolved.TCPServices), named(resolved.UDPServices)),
		Secrets:       slices.Concat(named(resolved.DefaultCertificate), named(resolved.StickySecret), named(resolved.ECHSecret)),
		Services:      named(resolved.DefaultBackend),
		SecretsByName: f.secretsByName,
		Pods:          f.pods,
	}
	if o.SecretsByName {
		o.References, o.Claims = resolve.References(resolved.AnnotationPrefixes), resolve.Claims(resolved)
	}
	if o.NamespaceSelector, err = parseSelector("watch-namespace-selector", f.namespaceSelector); err != nil {
		return o, nil, err
	}
	if o.IngressSelector, err = parseSelector("ingress-selector", f.ingressSelector); err != nil {
		return o, nil, err
	}
	return o, client, nil
}

func named(k object.Key) []object.Key {
	if k == (object.Key{}) {
		return nil
	}
	return []object.Key{k}
}

// restConfig is where the API server is and who we are there.
func (f *objectFlags) restConfig() (*rest.Config, error) {
	if f.kubeconfig == "" && f.apiserver == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, usagef("there is no cluster around this process (%v): want --manifests FOLDER or --kubeconfig FILE", err)
		}
		return polite(config), nil
	}
	config, err := clientcmd.BuildConfigFromFlags(f.apiserver, f.kubeconfig)
	if err != nil {
		return nil, usagef("--kubeconfig %q: %v", f.kubeconfig, err)
	}
	return polite(config), nil
}

// polite names us to the API server. There is no rate on our side: lists and watches must not queue behind each other, nor the lease
// behind them; status and Events pace themselves, and the API server has its own priorities (API Priority and Fairness).
func polite(config *rest.Config) *rest.Config {
	config.UserAgent = "usher/" + readBuild().version
	config.QPS = -1
	return config
}

// where says where objects come from, for people.
func (f *objectFlags) where() string {
	switch {
	case f.manifests != "":
		return "folder " + f.manifests
	case f.kubeconfig != "":
		return "cluster of " + f.kubeconfig
	}
	return "the cluster around this Pod"
}
