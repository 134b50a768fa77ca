package main

import (
	"context"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/usher-ingress/usher/pkg/certs"
	"github.com/usher-ingress/usher/pkg/controller"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/server"
	"github.com/usher-ingress/usher/pkg/source"
	"github.com/usher-ingress/usher/pkg/status"
	"go.uber.org/zap"
)

// cluster is where objects come from and where status goes: an API server, or a folder, which takes no status.
type cluster struct {
	source  controller.Source
	objects *source.Cluster    // the source, if it is an API server
	publish func(*route.Table) // nil when nothing is written
	deny    []netip.Prefix     // the API server's address, which no backend may have
	status  *status.Writer     // nil with a folder
	client  status.API
}

func newCluster(f *serveFlags, m *metrics.Metrics, log *zap.Logger, yield func()) (*cluster, error) {
	if f.objects.manifests != "" {
		selector, err := parseSelector("ingress-selector", f.objects.ingressSelector)
		files := source.NewFiles(f.objects.manifests, selector, log)
		files.Yield(yield)
		return &cluster{source: files, deny: podAddresses()}, err
	}
	options, client, err := f.objects.clusterOptions()
	if err != nil {
		return nil, err
	}
	options.Observer, options.Log, options.Yield = m, log, yield
	if f.objects.namespace != "" || f.objects.namespaceSelector != "" {
		log.Info("the API servers' own addresses are refused as endpoints only where the namespace default is watched; the address that Usher uses is refused", zap.String("address", client.host))
	}
	objects := source.NewCluster(options)
	writer, err := newStatus(f, client, status.Options{Statuses: objects.IngressStatus, Observer: m, Log: log})
	if err != nil {
		return nil, err
	}
	deny := append(apiServer(client.host), podAddresses()...)
	return &cluster{source: objects, objects: objects, publish: writer.Publish, deny: deny, status: writer, client: client}, nil
}

// newStatus completes o by the flags and by what Kubernetes tells a Pod about itself.
func newStatus(f *serveFlags, client status.API, o status.Options) (*status.Writer, error) {
	service, err := f.status.service()
	if err != nil {
		return nil, err
	}
	o.Client, o.Update, o.ClearOnShutdown = client, f.status.update, f.status.updateOnShutdown
	o.Addresses, o.Service, o.Nodes = f.status.publishAddresses, service, f.status.nodeAddresses()
	o.ElectionID, o.Namespace, o.Identity = f.status.electionID, ownNamespace(), ownName()
	writer, err := status.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return writer, nil
}

// leads reports whether this replica is the one that writes.
func (c *cluster) leads() bool { return c.status != nil && c.status.Leader() }

// tickets shares the keys of session tickets with the other replicas, if there are any. Beside another controller, with
// --update-status=false, nothing is written, so the Secret is only read.
func (c *cluster) tickets(f *serveFlags, certificates *certs.Selector, log *zap.Logger) *certs.Tickets {
	o := certs.TicketOptions{Namespace: ownNamespace(), Name: f.ticketSecret, Leads: c.leads, Set: certificates.SetTicketKeys, Log: log}
	if f.ticketSecret != "" && c.client != nil {
		o.Client = c.client.CoreV1()
	}
	return certs.NewTickets(o)
}

// serviceAccountNamespace is where Kubernetes tells a Pod its namespace.
const serviceAccountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace is the namespace of this Pod; outside of a cluster it is $POD_NAMESPACE, or "default".
func ownNamespace() string {
	if n := os.Getenv("POD_NAMESPACE"); n != "" {
		return n
	}
	if n, err := os.ReadFile(serviceAccountNamespace); err == nil {
		return strings.TrimSpace(string(n))
	}
	return "default"
}

// ownName tells this replica from the others: $POD_NAME, or the host's name, which is the Pod's in a Pod.
func ownName() string {
	if n := os.Getenv("POD_NAME"); n != "" {
		return n
	}
	name, err := os.Hostname()
	if err != nil {
		return "usher-" + strconv.Itoa(os.Getpid())
	}
	return name
}

// apiServer is the address of the API server, when its URL has one rather than a name.
func apiServer(host string) []netip.Prefix {
	u, err := url.Parse(host)
	if err != nil {
		return nil
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
}

// addParts adds what writes to the cluster.
func (c *cluster) addParts(parts *server.Group) {
	if c.status == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	parts.Add(func() error { return c.status.Run(ctx) }, func(error) { cancel() })
}
