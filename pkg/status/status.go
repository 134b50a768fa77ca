// Package status tells the cluster what Usher does with its Ingresses: their status.loadBalancer, from which kubectl and ExternalDNS
// take the address, and Events on those with errors, so that `kubectl describe ingress` names the cause.
//
// Of several replicas one writes: the holder of a Lease. Whoever loses the Lease stops at once, in the middle of a write; whoever
// ends gives it back first, so that the next one need not wait for it to expire. With Update off (shadow mode) nothing is written at
// all, neither status nor Events nor the Lease: for a trial beside another controller.
//
// Writes are few: a status only when it differs from what the object has, an Event once for each mistake. A status is not cleared at
// the end unless that is asked for, since an upgrade would take every DNS record with it.
package status

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/zap"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	networkingv1client "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/klog/v2"
)

// API is what is written to, and read back from, an API server.
type API interface {
	CoreV1() corev1client.CoreV1Interface
	NetworkingV1() networkingv1client.NetworkingV1Interface
	CoordinationV1() coordinationv1client.CoordinationV1Interface
}

// Options say what is written, and where from. Client, ElectionID, Namespace and Identity are required unless Update is false.
type Options struct {
	Client API
	// Update false is shadow mode: nothing is written.
	Update bool

	// Addresses are IP addresses and host names to publish. If there are none, those of Service are: the addresses of its load
	// balancer and its external IPs; a ClusterIP or NodePort Service's external IPs or cluster IP; an ExternalName's name. With neither,
	// and while the Service has no address, no status is written, only Events.
	Addresses []string
	Service   object.Key
	// Nodes publishes addresses of the nodes that run replicas, when there are no Addresses and no Service.
	Nodes NodeAddresses

	ElectionID string        // name of the Lease
	Namespace  string        // of the Lease
	Identity   string        // of this replica: its Pod's name
	Lease      time.Duration // how long a Lease is held that nobody renews; 15 s if zero

	// ClearOnShutdown takes the addresses out again when the leader ends.
	ClearOnShutdown bool
	// Statuses is what an Ingress has now, as last read; false if it is not there. If nil, the API server is asked.
	Statuses func(object.Key) (networkingv1.IngressLoadBalancerStatus, bool)

	Observer Observer    // may be nil
	Log      *zap.Logger // may be nil
}

// Observer hears whether this replica is the leader. It must not block.
type Observer interface{ Leader(bool) }

// Writer writes status and Events while it is the leader.
type Writer struct {
	options Options
	log     *zap.Logger
	fixed   []networkingv1.IngressLoadBalancerIngress // from Options.Addresses

	table     atomic.Pointer[route.Table]
	published chan struct{} // capacity 1
	leader    atomic.Bool
	led       chan context.Context // of each time this replica leads
}

// New checks the options; Run starts the Writer.
func New(o Options) (*Writer, error) {
	fixed, err := parseAddresses(o.Addresses)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Lease == 0 {
		o.Lease = 15 * time.Second
	}
	w := &Writer{options: o, log: o.Log, fixed: fixed, published: make(chan struct{}, 1), led: make(chan context.Context)}
	if o.Update {
		if _, err := w.elector(); err != nil {
			return nil, fmt.Errorf("leader election: %w", err)
		}
	}
	return w, nil
}

func parseAddresses(addresses []string) ([]networkingv1.IngressLoadBalancerIngress, error) {
	var out []networkingv1.IngressLoadBalancerIngress
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			out = append(out, networkingv1.IngressLoadBalancerIngress{IP: ip.String()})
			continue
		}
		if errs := validation.IsDNS1123Subdomain(a); len(errs) > 0 {
			return nil, fmt.Errorf("publish address %q: want an IP address or a host name: %s", a, errs[0])
		}
		out = append(out, networkingv1.IngressLoadBalancerIngress{Hostname: a})
	}
	return sorted(out), nil
}

// Publish gives the Writer the Table that is live now. It does not block; if Tables come faster than they are written, the last
// one counts.
func (w *Writer) Publish(t *route.Table) {
	w.table.Store(t)
	select {
	case w.published <- struct{}{}:
	default:
	}
}

// Leader reports whether this replica writes now.
func (w *Writer) Leader() bool { return w.leader.Load() }

// Run takes part in the election and writes while it leads, until ctx ends. When it returns, nothing is written any more and the
// Lease is free.
func (w *Writer) Run(ctx context.Context) error {
	if !w.options.Update {
		<-ctx.Done()
		return nil
	}
	// The election outlives ctx: the Lease is given back only when the last write is over.
	held, release := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Logger{}))
	var election sync.WaitGroup
	election.Go(func() { w.elect(held) })
	w.lead(ctx)
	release()
	election.Wait()
	return nil
}

// lead writes whenever this replica leads.
func (w *Writer) lead(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case led := <-w.led:
			w.turn(ctx, led)
		}
	}
}

// turn is one time of leading, until the Lease is lost or ctx ends.
func (w *Writer) turn(ctx, led context.Context) {
	w.tell(true)
	defer w.tell(false)
	writing, stop := context.WithCancel(led)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	published := w.write(writing)
	if ctx.Err() != nil && led.Err() == nil && w.options.ClearOnShutdown {
		clearing, cancel := context.WithTimeout(led, 10*time.Second)
		defer cancel()
		w.clear(clearing, published)
	}
}

func (w *Writer) tell(leads bool) {
	w.leader.Store(leads)
	w.log.Info("leadership", zap.Bool("leader", leads), zap.String("identity", w.options.Identity))
	if w.options.Observer != nil {
		w.options.Observer.Leader(leads)
	}
}

// write follows the Tables with status and Events until ctx ends, and returns the addresses it has published.
func (w *Writer) write(ctx context.Context) []networkingv1.IngressLoadBalancerIngress {
	addressWriter, events := newAddressWriter(w), newEvents(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		table := w.table.Load()
		addressWriter.follow(ctx, table)
		events.follow(ctx, table)
		select {
		case <-ctx.Done():
			return addressWriter.stop()
		case <-w.published:
		case <-tick.C:
		}
	}
}
