package source

import (
	"cmp"
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"go.uber.org/zap"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// feed carries one list and watch into the store of a Cluster. It is what client-go's Reflector writes to, in the place of an
// informer's cache: the store is the only copy of the objects.
type feed struct {
	cluster *Cluster
	kind    object.Kind
	only    func(object.Key) bool // which objects of the kind are this feed's; a list without them removes them
	name    string                // of the one object it reads, for EndpointSlices of their Service; "" for all

	namespace string // of that object; "" for all
	required  bool   // it is named by a flag, and Usher is not ready without it
	many      bool   // there may be thousands of its like
	stop      context.CancelFunc
	dead      bool // it was stopped; guarded by the Cluster's mutex

	refusedSince time.Time // the first of the refusals that came in a row; guarded by health's mutex
	pause        time.Time // before which it asks for nothing; guarded by health's mutex

	once   sync.Once
	synced chan struct{} // closed after the first list, or when there will be none
}

func (c *Cluster) newFeed(kind object.Kind, only func(object.Key) bool) *feed {
	return &feed{cluster: c, kind: kind, only: only, synced: make(chan struct{})}
}

// wait returns after the first list.
func (f *feed) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-f.synced:
	}
}

func (f *feed) done() { f.once.Do(func() { close(f.synced) }) }

// optional reports whether Usher starts without what this feed reads, if it may not read it: classes can be claimed by name, Pods only
// explain, Namespaces that no selector looks at only say which Ingresses are about to go, and one Secret that is withheld is one
// Secret's problem. The ConfigMaps of flags hold settings of every host, so Usher is not ready before they were read, or found not to
// exist.
func (f *feed) optional() bool {
	return f.kind == object.Namespace && f.cluster.options.NamespaceSelector == nil ||
		f.kind == object.IngressClass || f.kind == object.Pod || f.name != "" && !f.required
}

// readable notes why what the feed reads is not there; "" if it can be read.
func (f *feed) readable(why string) {
	f.apply(func(c *Cluster) {
		c.store.unread(object.Change{Kind: f.kind, Key: object.Key{Namespace: f.namespace, Name: f.name}}, why)
	})
}

// fields are for a log line.
func (f *feed) fields(err error) []zap.Field {
	return []zap.Field{zap.String("kind", string(f.kind)), zap.String("namespace", f.namespace), zap.String("name", f.name), zap.Error(err)}
}

// begin waits while the feed is to ask for nothing, and returns when its next request begins.
func (f *feed) begin(ctx context.Context) time.Time {
	h := f.cluster.health
	h.mu.Lock()
	pause := time.Until(f.pause)
	h.mu.Unlock()
	if pause > 0 {
		sleep(ctx, pause)
	}
	return time.Now()
}

// lister is what every typed client offers.
type lister[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// start runs a feed from a typed client until its stop or the Cluster's end. The Cluster is locked.
func start[L runtime.Object](f *feed, api lister[L], example runtime.Object, narrow metav1.ListOptions) *feed {
	c := f.cluster
	ctx, cancel := context.WithCancel(c.ctx)
	f.stop = cancel
	lw := &cache.ListWatch{
		ListWithContextFunc: func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector, o.LabelSelector = narrow.FieldSelector, narrow.LabelSelector
			began := f.begin(ctx)
			list, err := api.List(ctx, o)
			c.health.list(ctx, f, began, err)
			return list, err
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector, o.LabelSelector = narrow.FieldSelector, narrow.LabelSelector
			began := f.begin(ctx)
			w, err := api.Watch(ctx, o)
			c.health.watch(ctx, f, began, cmp.Or(err, unanswered(w)))
			return w, err
		},
	}
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, c.options.Client), example, f,
		cache.ReflectorOptions{Name: "usher", Logger: &klog.Logger{}, Backoff: f.backoff()})
	c.feeds.Go(func() { reflector.RunWithContext(ctx) })
	return f
}

// unanswered is an error for the watch that client-go makes up when there was no answer.
func unanswered(w watch.Interface) error {
	if reflect.TypeOf(w) == reflect.TypeOf(watch.NewEmptyWatch()) {
		return errUnanswered
	}
	return nil
}

// refusedPause is how often what may not be read is tried again.
const refusedPause = time.Minute

// backoff is how an API server that fails is asked again: often, where one watch serves all; less often, where there is one for each
// Secret.
func (f *feed) backoff() *wait.Backoff {
	limit := 5 * time.Second
	if f.many {
		limit = 30 * time.Second
	}
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: limit}
}

// Add takes an object from the Reflector.
func (f *feed) Add(obj any) error { return f.Update(obj) }

// Update takes an object from the Reflector.
func (f *feed) Update(obj any) error {
	if o, ok := obj.(metav1.Object); ok && f.takes(o) {
		f.apply(func(c *Cluster) {
			if c.put(o); f.kind == object.IngressClass {
				c.referAll()
			}
		})
	}
	return nil
}

// Delete takes an object away for the Reflector.
func (f *feed) Delete(obj any) error {
	if o, ok := obj.(metav1.Object); ok && f.takes(o) {
		f.apply(func(c *Cluster) {
			if c.remove(f.kind, object.KeyOf(o)); f.kind == object.IngressClass {
				c.referAll()
			}
		})
	}
	return nil
}

// Replace takes the whole list from the Reflector.
func (f *feed) Replace(list []any, _ string) error {
	f.apply(func(c *Cluster) {
		have := make(map[object.Key]bool, len(list))
		for _, obj := range list {
			if o, ok := obj.(metav1.Object); ok && f.takes(o) {
				have[object.KeyOf(o)] = true
				c.put(o)
			}
		}
		for _, k := range c.keys(f.kind) {
			if !have[k] && f.only(k) {
				c.remove(f.kind, k)
			}
		}
		if f.kind == object.IngressClass {
			c.referAll()
		}
	})
	f.done()
	return nil
}

// Resync has no meaning here.
func (f *feed) Resync() error { return nil }

// Transformer makes the Reflector trim objects while it gathers the first list.
func (f *feed) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if o, ok := obj.(metav1.Object); ok {
			object.Trim(o)
		}
		return obj, nil
	}
}

// UpdateResourceVersion hears of every event and bookmark.
func (f *feed) UpdateResourceVersion(string) { f.cluster.contact.Store(time.Now().UnixNano()) }

// takes reports whether an object is the one that was asked for. An API server sends no other; a fake one may.
func (f *feed) takes(o metav1.Object) bool {
	switch {
	case f.name == "":
		return true
	case f.kind == object.EndpointSlice:
		return o.GetLabels()[discoveryv1.LabelServiceName] == f.name
	}
	return o.GetName() == f.name
}

// apply makes a change with the Cluster and the store locked, unless the feed was stopped while it had the change in hand.
func (f *feed) apply(change func(*Cluster)) {
	c := f.cluster
	c.contact.Store(time.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.dead {
		c.store.update(func() { change(c) })
	}
}

// put takes in an object, and follows what it refers to.
func (c *Cluster) put(o metav1.Object) {
	object.Trim(o)
	kind, key := mustKind(o), object.KeyOf(o)
	c.refer(object.Change{Kind: kind, Key: key}, c.referencesOf(o))
	if ingress, ok := o.(*networkingv1.Ingress); ok {
		c.status[key] = ingress.Status.LoadBalancer
		if !c.spaces.admit(ingress) {
			c.store.remove(kind, key)
			return
		}
	}
	c.store.put(o)
	c.spaces.namespace(o, c.store)
}

func mustKind(o metav1.Object) object.Kind {
	kind, _ := object.KindOf(o)
	return kind
}

// remove takes an object away, and with it the interest in what it referred to.
func (c *Cluster) remove(kind object.Kind, k object.Key) {
	c.refer(object.Change{Kind: kind, Key: k}, nil)
	if kind == object.Ingress {
		c.leaveUnread(k, nil)
		delete(c.status, k)
		c.spaces.drop(k)
	}
	c.store.remove(kind, k)
}

// keys are the objects of a kind that were read, also those left out of the store.
func (c *Cluster) keys(kind object.Kind) []object.Key {
	keys := c.store.kinds[kind].keys()
	if kind == object.Ingress {
		keys = append(keys, c.spaces.kept()...)
	}
	return keys
}
