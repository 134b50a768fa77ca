package main

import (
	"net/netip"
	"net/url"

	"github.com/usher-ingress/usher/pkg/controller"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/server"
	"github.com/usher-ingress/usher/pkg/source"
	"go.uber.org/zap"
)

// cluster is where objects come from and where status goes: an API server, or a folder, which takes no status.
type cluster struct {
	source  controller.Source
	publish func(*route.Table) // nil when nothing is written
	deny    []netip.Prefix     // the API server's address, which no backend may have
	status  func(*server.Group)
}

func newCluster(f *serveFlags, m *metrics.Metrics, log *zap.Logger) (*cluster, error) {
	if f.objects.manifests != "" {
		return &cluster{source: source.NewFiles(f.objects.manifests, log)}, nil
	}
	options, config, err := f.objects.clusterOptions()
	if err != nil {
		return nil, err
	}
	options.Observer, options.Log = m, log
	return &cluster{source: source.NewCluster(options), deny: apiServer(config.Host)}, nil
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
	if c.status != nil {
		c.status(parts)
	}
}
