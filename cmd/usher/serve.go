package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/usher-ingress/usher/pkg/admin"
	"github.com/usher-ingress/usher/pkg/certs"
	"github.com/usher-ingress/usher/pkg/controller"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/server"
	"github.com/usher-ingress/usher/pkg/source"
	"go.uber.org/zap"
)

func newServe() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the Ingresses of a cluster, or of a folder of YAML files",
		Long: `Serve is the controller. It reads Ingress, IngressClass, Service, EndpointSlice, Secret and ConfigMap
objects, routes HTTP and HTTPS by them, and applies every change at once without a reload.

Objects come from a cluster (in a Pod from the one around it, elsewhere with --kubeconfig), or with
--manifests from the YAML and JSON files of a folder, read again when they change. With --manifests
backends may have loopback addresses.

--controller-class k8s.io/ingress-nginx adopts the IngressClasses of ingress-nginx. Its flags are then
accepted as they are: those without a meaning here are listed once as ignored, those that would open
or close something are reported. --ingress-class is then nginx unless given.

SIGTERM makes it not ready. It goes on serving for --shutdown-delay and asks clients to connect anew
when half of that is over; then it takes no more connections, and lets requests in flight and WebSockets
end for up to --shutdown-grace-period. A second signal ends it at once.

Times are seconds, as 30, or have a unit, as 1m30s.`,
		Example: `  usher serve --manifests examples/quickstart
  usher serve --kubeconfig ~/.kube/config --update-status=false
  usher serve --controller-class k8s.io/ingress-nginx --publish-service ingress/usher`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			s, err := newService(f, console{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()})
			if err != nil {
				return err
			}
			stop := newStopper(cmd.Context())
			defer stop.release()
			return s.run(stop)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// service is everything that runs while serving. The parts are built in order by newService and run side by side by run.
type service struct {
	flags   *serveFlags
	log     *zap.Logger
	onReady func() // called once, when the first Table serves; may be nil

	live         *route.Live
	teller       *teller
	objects      *source.Cluster // nil with a folder
	metrics      *metrics.Metrics
	dataPlane    *dataPlane
	certificates *certs.Selector
	tickets      *certs.Tickets
	acme         *certs.Issuer // nil without --acme-email
	server       *server.Server
	ports        *tcpPorts
	controller   *controller.Controller
	admin        *admin.Admin
	adminAt      net.Listener
	machine      machine
	draining     atomic.Bool
	graceEnds    time.Time // when a shutdown has to be over; set by drain
	parts        server.Group
}

// newService builds the parts and opens the ports, so that what cannot work fails before anything runs.
func newService(f *serveFlags, c console) (_ *service, err error) {
	b := readBuild()
	lines := stderr{proxy.NewLines(c.err)}
	s := &service{flags: f, log: f.logs.logger(lines), live: &route.Live{}}
	defer func() {
		if err != nil {
			_ = s.log.Sync()
		}
	}()
	s.metrics = metrics.New(metrics.Build{Version: b.version, Revision: b.commit}, f.metrics.options())
	s.metrics.LogDropsFrom(lines.Dropped)
	s.teller = newTeller(s.log)
	if _, err := zap.RedirectStdLogAt(s.log, zap.DebugLevel); err != nil { // net/http speaks of endpoints there
		return nil, err
	}
	f.logAdoption(s.log)
	options, err := f.objects.resolveOptions()
	if err != nil {
		return nil, err
	}
	yield := controller.NewYielder(s.sharesProcessor).Yield
	cluster, err := newCluster(f, s.metrics, s.log, yield)
	if err != nil {
		return nil, err
	}
	s.objects = cluster.objects
	if s.dataPlane, err = newDataPlane(s, cluster, c.out); err != nil {
		return nil, err
	}
	options.ACME, options.ACMENames, options.ACMEPerNamespace = f.acme.on(), f.acme.names, int(f.acme.most)
	if err = s.newACME(cluster); err != nil {
		return nil, err
	}
	if s.certificates, err = certs.New(s.tables(), s.metrics); err != nil {
		return nil, err
	}
	s.certificates.AnswerFor(s.acme)
	s.tickets = cluster.tickets(f, s.certificates, s.log)
	s.ports = newTCPPorts(cluster.source)
	options.Own, options.Deny = f.ownPorts(), cluster.deny
	options.OwnPorts = f.taken()
	options.Yield = yield
	resolver := resolve.New(options)
	s.controller = controller.New(controller.Options{
		Source:   s.ports,
		Resolver: resolver,
		Weight:   resolver.Weight,
		Live:     s.live,
		Prepare:  s.dataPlane.proxy.Prepare,
		Publish: publishers(s.dataPlane.settle, s.ticketKey, s.order, s.ports.publish, s.teller.publish,
			newCounter(s.metrics, f.metrics.byHost).publish, cluster.publish),
		Observer: &turns{metrics: s.metrics, log: s.log},
	})
	if err := s.newServers(b); err != nil {
		return nil, err
	}
	s.addParts(cluster)
	return s, nil
}

// sharesProcessor reports whether requests are served, and have no processor of their own beside the control plane.
func (s *service) sharesProcessor() bool { return s.live.Load() != nil && runtime.GOMAXPROCS(0) <= 2 }

// newServers opens the traffic ports and the admin port.
func (s *service) newServers(b build) error {
	var err error
	s.server, err = server.New(server.Options{
		Plain:      s.flags.listen(s.flags.httpPort),
		Secure:     s.flags.listen(s.flags.httpsPort),
		Handler:    s.handler(),
		Redirect:   s.flags.redirectAt(),
		Redirector: s.dataPlane.proxy.Redirector(),
		TLS:        s.certificates.Config(),
		Limits:     s.flags.limits.options(),
		Cleartext2: s.flags.h2c,
		Refused:    s.dataPlane.refused,
		Observer:   s.metrics,
		Log:        s.log,
		KeepUnderscores: func() bool {
			t := s.live.Load()
			return t != nil && t.Policy != nil && t.Policy.Headers.KeepUnderscores
		},
		Streams2: func() int {
			t := s.live.Load()
			if t == nil || t.Policy == nil {
				return 0
			}
			return t.Policy.HTTP2.Streams
		},
		Passthrough: s.dataPlane.proxy,
		Streams:     s.dataPlane.proxy,
		TCP:         s.flags.listen,
		ProxyProtocol: func(peer netip.Addr) time.Duration {
			t := s.live.Load()
			if t == nil || t.Policy == nil {
				return 0
			}
			return t.Policy.Forwarded.ProxyHeader(peer)
		},
	})
	if err != nil {
		return err
	}
	if err := s.server.Listen(); err != nil {
		return err
	}
	s.ports.listen = s.server.ListenTCP
	s.metrics.ConnectionsFrom(s.server.Connections)
	address := net.JoinHostPort(s.flags.adminBind, strconv.Itoa(int(s.flags.adminPort)))
	if s.adminAt, err = net.Listen("tcp", address); err != nil {
		_ = s.server.Close()
		return fmt.Errorf("admin port: %w", err)
	}
	s.admin = admin.New(admin.Options{
		Tables:    s.tables(),
		Ready:     s.ready,
		Metrics:   s.metrics.Handler(),
		Endpoints: s.dataPlane.endpoints,
		Version:   b.version,
		Profiling: s.flags.profiling,
		Authority: s.authority,
	})
	return nil
}

// ticketKey hands on the key of session tickets that the ConfigMap gives, if it does.
func (s *service) ticketKey(t *route.Table) { s.tickets.Use(t.Policy.TicketKey.Bytes()) }

// addParts gives the group what runs, each with what interrupts it. They are interrupted in this order.
func (s *service) addParts(cluster *cluster) {
	s.parts.Add(s.server.Serve, func(error) { _ = s.server.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	s.parts.Add(func() error { return s.controller.Run(ctx) }, func(error) { cancel() })
	s.parts.Add(func() error { return s.teller.run(ctx) }, func(error) { cancel() })
	s.parts.Add(func() error { return s.ports.follow(ctx) }, func(error) { cancel() })
	s.parts.Add(func() error { return s.tickets.Run(ctx) }, func(error) { cancel() })
	if s.acme != nil {
		s.parts.Add(func() error { return s.acme.Run(ctx) }, func(error) { cancel() })
	}
	s.parts.Add(func() error { return s.admin.Serve(s.adminAt) }, func(error) { _ = s.admin.Close() })
	s.parts.Add(func() error { return s.announce(ctx) }, func(error) { cancel() })
	cluster.addParts(&s.parts)
}

// run runs the parts until stop, or until one of them fails.
func (s *service) run(stop *stopper) error {
	ctx, cancel := context.WithCancel(stop.gently)
	s.parts.Add(func() error {
		<-ctx.Done()
		if stop.gently.Err() == nil {
			return nil // another part ended first
		}
		return s.drain(stop)
	}, func(error) { cancel() })
	err := s.parts.Run()
	last, done := context.WithTimeout(stop.atOnce, max(time.Until(s.graceEnds), lastLines))
	defer done()
	s.dataPlane.close(last)
	s.log.Info("stopped", zap.Error(err))
	_ = s.log.Sync()
	return err
}

// lastLines is how long the reader of the access log has at least for the rest of it.
const lastLines = time.Second

// drain shuts the server down gracefully. When the delay is half over, and load balancers have most likely noticed, clients are asked to
// connect anew. It returns when nothing is in flight any more, or when time is up.
func (s *service) drain(stop *stopper) error {
	s.draining.Store(true)
	delay, grace := time.Duration(s.flags.shutdownDelay), time.Duration(s.flags.shutdownGrace)
	s.log.Info("draining: not ready any more", zap.Duration("delay", delay), zap.Duration("grace", grace))
	wait(stop.atOnce, delay/2)
	if delay > 0 {
		s.server.Farewell()
	}
	wait(stop.atOnce, delay-delay/2)
	s.graceEnds = time.Now().Add(grace)
	ctx, cancel := context.WithTimeout(stop.atOnce, grace)
	defer cancel()
	if err := s.server.Drain(ctx); err != nil {
		s.log.Warn("drain ended early", zap.Error(err))
	}
	return nil
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// ready says why no traffic should come, or nil.
func (s *service) ready() error {
	switch {
	case s.draining.Load():
		return errors.New("draining")
	case s.live.Load() == nil:
		return s.unready()
	}
	return s.acmeReady()
}

// unready says what the first Table waits for.
func (s *service) unready() error {
	if s.objects != nil {
		if missing := s.objects.Missing(); len(missing) > 0 {
			return fmt.Errorf("not read yet: %s", strings.Join(missing[:min(len(missing), 10)], "; "))
		}
	}
	return errors.New("the first table is not built yet")
}

// announce waits for the first Table and says what is served, and where.
func (s *service) announce(ctx context.Context) error {
	select {
	case <-s.controller.Ready():
		go debug.FreeOSMemory() // what was parsed is several times what is kept
		t := s.live.Load()
		s.log.Info("serving",
			zap.String("objects", s.flags.objects.where()), zap.Int("hosts", len(t.Hosts.All())), zap.Int("ingresses", claimed(t)),
			zap.Int("notClaimed", len(t.Ingresses)-claimed(t)), zap.Stringers("http", s.server.Plain()),
			zap.Stringers("https", s.server.Secure()), zap.Stringer("admin", s.adminAt.Addr()),
			zap.Int("maxConnections", s.server.MaxConnections()), zap.String("version", readBuild().version), zap.Int("cpus", runtime.GOMAXPROCS(0)))
		if s.onReady != nil {
			s.onReady()
		}
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

func claimed(t *route.Table) int {
	n := 0
	for _, i := range t.Ingresses {
		if i.Claimed {
			n++
		}
	}
	return n
}
