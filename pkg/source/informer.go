package source

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"go.uber.org/zap"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1client "k8s.io/client-go/kubernetes/typed/discovery/v1"
	networkingv1client "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/klog/v2"
)

// API is what is read of an API server.
type API interface {
	CoreV1() corev1client.CoreV1Interface
	DiscoveryV1() discoveryv1client.DiscoveryV1Interface
	NetworkingV1() networkingv1client.NetworkingV1Interface
}

// ClusterOptions say what to read from an API server. Client is required.
type ClusterOptions struct {
	Client API
	// Namespace limits Ingresses and what they refer to, to one namespace; "" is all. Then a Role in it is all that is needed, and
	// reading IngressClasses.
	Namespace string
	// NamespaceSelector, if not nil, leaves out the Ingresses of namespaces whose labels do not match, as they are at any time.
	NamespaceSelector labels.Selector
	// IngressSelector, if not nil, is what the labels of Ingresses have to match.
	IngressSelector labels.Selector

	// ConfigMaps, Secrets and Services are read whoever refers to them, also outside Namespace: the controller's ConfigMap, its
	// default certificate, its default backend. ConfigMaps are only ever read by name.
	ConfigMaps, Secrets, Services []object.Key

	// SecretsByName reads each Secret that an Ingress refers to by a watch of its own, so that no right to read all Secrets is
	// needed. Otherwise one watch reads all Secrets but those of a type that Kubernetes, Helm and image pulls use for themselves.
	SecretsByName bool
	// Pods also reads Pods, which say why a Service has no endpoints; without the right to, all else is read.
	Pods bool
	// References names the Secrets that an Ingress refers to besides its TLS sections. May be nil.
	References References
	// Yield is called after each object that is read, so that what else is to be run gets its turn. May be nil.
	Yield func()
	// Claims reports whether an Ingress is ours, by these classes: then its Secrets are read by name. If nil, all are.
	Claims func(*networkingv1.Ingress, map[string]*networkingv1.IngressClass) bool

	// Ask asks the API server whether it is ready. An error that is a status below 500 is an answer too. If nil, GET /readyz does.
	Ask func(context.Context) error

	Observer Observer    // may be nil
	Log      *zap.Logger // may be nil
}

// Observer hears of the connection to the API server. It must not block.
type Observer interface {
	// APIServerConnected reports whether the API server answers and every list and watch is alive, whenever that changes.
	APIServerConnected(bool)
	// APIServerError counts a failed list or watch of a kind of object.
	APIServerError(kind string)
	// APIServerRefused tells how many lists of a kind are refused for good, and done without, whenever that changes.
	APIServerRefused(kind string, n int)
}

// Cluster reads from an API server: one list and watch for each kind, straight into the store, and one for each object that is read
// by name. While the API server is away, what was read stays in use.
type Cluster struct {
	options ClusterOptions
	store   *store
	health  *health
	contact atomic.Int64 // unix nanoseconds

	mu         sync.Mutex      // held while a change is applied
	ctx        context.Context // of Run
	ended      bool            // no further feed may start
	feeds      sync.WaitGroup
	whole      []*feed // of all objects of a kind
	named      map[object.Change]*feed
	references referrals
	beyond     map[object.Key][]object.Change // Secrets that an Ingress names and that are not read, being too many
	spaces     namespaces
	status     map[object.Key]networkingv1.IngressLoadBalancerStatus
}

// NewCluster reads nothing before Run.
func NewCluster(o ClusterOptions) *Cluster {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	c := &Cluster{
		options:    o,
		store:      newStore(),
		health:     newHealth(o),
		named:      map[object.Change]*feed{},
		references: newReferrals(),
		beyond:     map[object.Key][]object.Change{},
		spaces:     newNamespaces(o.NamespaceSelector),
		status:     map[object.Key]networkingv1.IngressLoadBalancerStatus{},
	}
	if o.Yield != nil {
		c.store.yield = o.Yield
	}
	return c
}

// Changed has a value when Snapshot would return something new.
func (c *Cluster) Changed() <-chan struct{} { return c.store.changed }

// Snapshot is what the API server holds, as far as it was read; false until every kind was read once.
func (c *Cluster) Snapshot() (*object.Snapshot, bool) { return c.store.snapshot() }

// Connected reports whether the last list or watch of every kind succeeded.
func (c *Cluster) Connected() bool { return c.health.connected() }

// Missing names what keeps the first Snapshot from being full, with the error met; nothing afterwards.
func (c *Cluster) Missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for _, f := range slices.Concat(c.whole, slices.Collect(maps.Values(c.named))) {
		select {
		case <-f.synced:
			continue
		default:
		}
		name := string(f.kind)
		if f.name != "" {
			name += " " + f.namespace + "/" + f.name
		}
		if err := c.health.why(f); err != nil {
			name += ": " + err.Error()
		}
		missing = append(missing, name)
	}
	slices.Sort(missing)
	return missing
}

// LastContact is when the API server last said anything: an object, a bookmark, or the answer to a probe. Zero before.
func (c *Cluster) LastContact() time.Time {
	if at := c.contact.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// IngressStatus is the status.loadBalancer of an Ingress as last read. A change of it alone makes no new Snapshot.
func (c *Cluster) IngressStatus(k object.Key) (networkingv1.IngressLoadBalancerStatus, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.status[k]
	return s, ok
}

// Run reads and follows everything until ctx ends, and returns when all has stopped. It never gives up: an API server that cannot be
// reached, or that refuses, is asked again.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, klog.Logger{})) // what client-go would log, health does
	defer cancel()
	c.await(ctx, c.start(ctx))
	<-ctx.Done()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.feeds.Wait()
	return nil
}

// start begins to read every kind, and what is always read by name.
func (c *Cluster) start(ctx context.Context) []*feed {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
	c.whole = c.kinds()
	c.refer(object.Change{}, c.always())
	c.feeds.Go(func() { c.probe(ctx) })
	return c.whole
}

// await waits for the first full sync: of every kind, and then of what was found to be referred to.
func (c *Cluster) await(ctx context.Context, kinds []*feed) {
	for _, f := range kinds {
		f.wait(ctx)
	}
	c.mu.Lock()
	named := make([]*feed, 0, len(c.named))
	for _, f := range c.named {
		named = append(named, f)
	}
	c.mu.Unlock()
	for _, f := range named {
		f.wait(ctx)
	}
	if ctx.Err() == nil {
		c.store.completed()
	}
}
