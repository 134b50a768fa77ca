package status

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/zap"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
)

const (
	// recheck is how often every Ingress is compared, for a status that somebody else changed.
	recheck = time.Minute
	// lookup is how often the Service is asked for its addresses.
	lookup = 10 * time.Second
	// writers is how many statuses are written at the same time, and writesPerSecond how many in a second, after a first burst.
	writers, writesPerSecond, writeBurst = 4, 50, 100
)

// addressWriter keeps status.loadBalancer of every claimed Ingress. It lives while this replica leads.
type addressWriter struct {
	w     *Writer
	queue workqueue.TypedRateLimitingInterface[object.Key]
	pace  flowcontrol.RateLimiter
	work  sync.WaitGroup

	table   *route.Table // last followed
	checked time.Time
	asked   time.Time // when the Service was

	mu        sync.Mutex
	addresses []networkingv1.IngressLoadBalancerIngress
	known     bool // addresses is; until then nothing is written
	claimed   map[object.Key]types.UID
	written   map[types.UID][]networkingv1.IngressLoadBalancerIngress
}

func newAddressWriter(w *Writer) *addressWriter {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[object.Key](100*time.Millisecond, 30*time.Second)
	return &addressWriter{
		w: w, queue: workqueue.NewTypedRateLimitingQueue(limiter), pace: flowcontrol.NewTokenBucketRateLimiter(writesPerSecond, writeBurst),
		addresses: w.fixed, known: len(w.fixed) > 0, written: map[types.UID][]networkingv1.IngressLoadBalancerIngress{},
	}
}

// follow takes in the Table and queues the Ingresses to compare.
func (b *addressWriter) follow(ctx context.Context, t *route.Table) {
	if t == nil {
		return
	}
	moved := b.ask(ctx)
	if t == b.table && !moved && time.Since(b.checked) < recheck {
		return
	}
	if b.table == nil {
		for range writers {
			b.work.Go(func() { b.run(ctx) })
		}
	}
	b.table, b.checked = t, time.Now()
	claimed := map[object.Key]types.UID{}
	for _, i := range t.Ingresses {
		if i.Claimed {
			claimed[object.Key{Namespace: i.Object.Namespace, Name: i.Object.Name}] = types.UID(i.UID)
		}
	}
	b.mu.Lock()
	b.claimed = claimed
	b.forget()
	b.mu.Unlock()
	for k := range claimed {
		b.queue.Add(k)
	}
}

// forget drops what was written to Ingresses that are not claimed any more.
func (b *addressWriter) forget() {
	uids := map[types.UID]bool{}
	for _, uid := range b.claimed {
		uids[uid] = true
	}
	maps.DeleteFunc(b.written, func(uid types.UID, _ []networkingv1.IngressLoadBalancerIngress) bool { return !uids[uid] })
}

// stop waits until no write is under way, and returns the addresses that were written.
func (b *addressWriter) stop() []networkingv1.IngressLoadBalancerIngress {
	b.queue.ShutDown()
	b.work.Wait()
	return b.addresses
}

// ask looks at the Service or the nodes now and then, and returns whether their addresses moved.
func (b *addressWriter) ask(ctx context.Context) bool {
	o := b.w.options
	if len(b.w.fixed) > 0 || o.Service.Name == "" && o.Nodes == NoNodes || time.Since(b.asked) < lookup {
		return false
	}
	b.asked = time.Now()
	found, err := b.w.found(ctx)
	if err != nil {
		b.w.log.Warn("the addresses to be published cannot be read; the last ones stay", zap.Error(err))
		return false
	}
	if len(found) == 0 {
		return false // a load balancer that is still being made; what is published must not go away for it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	moved := !b.known || !same(found, b.addresses)
	b.addresses, b.known = found, true
	return moved
}

// found are the addresses of the Service, or without one of the nodes.
func (w *Writer) found(ctx context.Context) ([]networkingv1.IngressLoadBalancerIngress, error) {
	named := w.options.Service
	if named.Name == "" {
		return w.ofNodes(ctx)
	}
	service, err := w.options.Client.CoreV1().Services(named.Namespace).Get(ctx, named.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("the Service %s: %w", named, err)
	}
	return addressesOf(service), nil
}

func (b *addressWriter) run(ctx context.Context) {
	for {
		k, shutdown := b.queue.Get()
		if shutdown {
			return
		}
		if ctx.Err() == nil {
			b.write(ctx, k)
		}
		b.queue.Done(k)
	}
}

// write compares one Ingress and writes its status if it differs.
func (b *addressWriter) write(ctx context.Context, k object.Key) {
	b.mu.Lock()
	addresses, known, uid, claimed := b.addresses, b.known, b.claimed[k], b.isClaimed(k)
	b.mu.Unlock()
	if !known || !claimed {
		return
	}
	wrote, err := b.w.put(ctx, target{k, uid, b.pace}, addresses)
	switch {
	case ctx.Err() != nil:
	case apierrors.IsNotFound(err): // deleted, or replaced by another of that name: the next Table knows
		b.queue.Forget(k)
	case err != nil:
		b.w.log.Warn("status not written; trying again", zap.Stringer("ingress", k), zap.Error(err))
		b.queue.AddRateLimited(k)
	default:
		b.queue.Forget(k)
		if wrote {
			b.note(k, uid, addresses)
		}
	}
}

func (b *addressWriter) isClaimed(k object.Key) bool {
	_, ok := b.claimed[k]
	return ok
}

// note remembers what was written, and warns if the same was written before: somebody undid it.
func (b *addressWriter) note(k object.Key, uid types.UID, addresses []networkingv1.IngressLoadBalancerIngress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last, ok := b.written[uid]; ok && same(last, addresses) {
		b.w.log.Warn("somebody else changed this status, and it was written again: is there another controller for its class?", zap.Stringer("ingress", k))
	}
	b.written[uid] = addresses
}
