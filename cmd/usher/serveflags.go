package main

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/server"
	"github.com/usher-ingress/usher/pkg/status"
)

// serveFlags are the flags of serve that are not about objects.
type serveFlags struct {
	objects objectFlags

	bind      []string
	httpPort  uint16
	httpsPort uint16
	redirect  uint16
	adminPort uint16
	adminBind string
	profiling bool
	h2c       bool

	shutdownDelay seconds
	shutdownGrace seconds

	reasonHeader bool
	metrics      metricsFlags
	ticketSecret string
	logs         logFlags
	status       statusFlags
	limits       limitFlags
	acme         acmeFlags
	adopted      adoptedFlags
}

// defaultDelay is how long a Pod that is going keeps serving: as long as load balancers take to notice.
const defaultDelay = 5 * time.Second

func (f *serveFlags) register(set *pflag.FlagSet) {
	f.objects.register(set)
	set.StringSliceVar(&f.bind, "bind-address", nil, "`addresses` to listen on for HTTP and HTTPS; all of the machine's when not given")
	set.Uint16Var(&f.httpPort, "http-port", 8080, "port for HTTP")
	set.BoolVar(&f.h2c, "h2c", false, "serve HTTP/2 on the port for HTTP too, to clients that begin with it (prior knowledge)")
	set.Uint16Var(&f.httpsPort, "https-port", 8443, "port for HTTPS")
	set.Uint16Var(&f.redirect, "http-redirect-port", 0, "further port for HTTP, whose requests are all redirected to HTTPS (308): for load balancers that end TLS; 0 is none")
	set.Uint16Var(&f.adminPort, "admin-port", 10254, "port for health, metrics, debug pages and the dashboard; --healthz-port is the same")
	set.StringVar(&f.adminBind, "admin-address", "", "`address` for the admin port; all of the machine's when not given; --healthz-host is the same")
	set.BoolVar(&f.objects.pods, "explain-pods", false, "also watch Pods, so that Events and explanations say why a Service has no ready endpoint; explain and lint read Pods without it")
	set.BoolVar(&f.profiling, "profiling", false, "serve /debug/pprof on the admin port")
	f.shutdownDelay, f.shutdownGrace = seconds(defaultDelay), seconds(30*time.Second)
	set.Var(&f.shutdownDelay, "shutdown-delay", "how long to go on serving after SIGTERM, not ready any more, so that load balancers notice; 0 by default with --manifests")
	set.Var(&f.shutdownGrace, "shutdown-grace-period", "how long requests in flight and WebSockets may take to end after that")
	set.BoolVar(&f.reasonHeader, "reason-header", true, "send X-Usher-Reason with answers that Usher makes itself")
	set.StringVar(&f.ticketSecret, "session-ticket-secret", "usher-session-tickets", "`name` of the Secret in Usher's own namespace in which replicas share the keys of TLS session tickets; \"\" gives each process its own")
	f.metrics.register(set)
	f.logs.register(set)
	f.status.register(set)
	f.limits.register(set)
	f.acme.register(set)
	f.adopted.register(set)
	set.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name { // ingress-nginx's names
		case "healthz-port":
			name = "admin-port"
		case "healthz-host":
			name = "admin-address"
		}
		return pflag.NormalizedName(name)
	})
}

func (f *serveFlags) check() error {
	if err := f.objects.check(); err != nil {
		return err
	}
	if f.objects.manifests != "" && !f.objects.set.Changed("shutdown-delay") {
		f.shutdownDelay = 0 // no load balancer is asking
	}
	if f.adminBind != "" {
		if _, err := netip.ParseAddr(f.adminBind); err != nil {
			return usagef("--admin-address %q: want an IP address", f.adminBind)
		}
	}
	for _, b := range f.bind {
		if _, err := netip.ParseAddr(b); err != nil {
			return usagef("--bind-address %q: want an IP address", b)
		}
	}
	if err := f.logs.check(f.objects.set.Changed("v")); err != nil {
		return err
	}
	if err := f.metrics.check(); err != nil {
		return err
	}
	if err := f.status.check(); err != nil {
		return err
	}
	if err := f.limits.check(); err != nil {
		return err
	}
	if err := f.acme.check(); err != nil {
		return err
	}
	return f.adopted.check(f.objects.adopts())
}

// listen gives the addresses to listen on at port.
func (f *serveFlags) listen(port uint16) []string {
	p := strconv.Itoa(int(port))
	if len(f.bind) == 0 {
		return []string{":" + p}
	}
	var out []string
	for _, b := range f.bind {
		out = append(out, net.JoinHostPort(b, p))
	}
	return out
}

// redirectAt gives the addresses where all is redirected to HTTPS.
func (f *serveFlags) redirectAt() []string {
	if f.redirect == 0 {
		return nil
	}
	return f.listen(f.redirect)
}

// taken are the ports that no TCP service may have.
func (f *serveFlags) taken() []uint16 {
	ports := []uint16{f.httpPort, f.httpsPort, f.adminPort}
	if f.redirect != 0 {
		ports = append(ports, f.redirect)
	}
	return ports
}

// logFlags are about what is written while serving.
type logFlags struct {
	format       choice
	level        choice
	verbosity    int
	access       bool
	accessFormat choice
}

func (f *logFlags) register(set *pflag.FlagSet) {
	f.format = choice{"json", []string{"json", "console"}}
	f.level = choice{"info", []string{"debug", "info", "warn", "error"}}
	f.accessFormat = choice{"json", []string{"json", "nginx"}}
	set.Var(&f.format, "log-format", "how the log on stderr is written")
	set.Var(&f.level, "log-level", "what is logged at least")
	set.IntVarP(&f.verbosity, "v", "v", 0, "ingress-nginx's way to set the level: 3 and above is debug")
	set.BoolVar(&f.access, "access-log", true, "write a record of each request to stdout")
	set.Var(&f.accessFormat, "access-log-format", "how these records are written: JSON, or ingress-nginx's default line")
}

func (f *logFlags) check(verbosityGiven bool) error {
	if f.verbosity < 0 {
		return usagef("--v %d: want a whole number, at least 0", f.verbosity)
	}
	if verbosityGiven && f.verbosity >= 3 {
		f.level.value = "debug"
	}
	return nil
}

// statusFlags are about what is written to the cluster.
type statusFlags struct {
	update           bool
	updateOnShutdown bool
	publishService   string
	publishAddresses []string
	nodes            choice
	internalNodes    bool
	electionID       string
}

func (f *statusFlags) register(set *pflag.FlagSet) {
	set.BoolVar(&f.update, "update-status", true, "write status and Events of Ingresses; false is for running beside another controller")
	set.BoolVar(&f.updateOnShutdown, "update-status-on-shutdown", false, "remove the addresses from status at the end; DNS records made of them would go too")
	set.StringVar(&f.publishService, "publish-service", "", "`namespace/name` of the Service whose addresses go to status")
	set.StringSliceVar(&f.publishAddresses, "publish-status-address", nil, "`addresses`, IP or host name, that go to status; over --publish-service")
	f.nodes = choice{noNodes, []string{noNodes, string(status.External), string(status.Internal)}}
	set.Var(&f.nodes, "publish-node-addresses", "which addresses of the nodes with a ready replica go to status, without --publish-service and --publish-status-address; external takes the internal ones of a node that has no other")
	set.BoolVar(&f.internalNodes, "report-node-internal-ip-address", false, "the same as --publish-node-addresses=internal")
	set.StringVar(&f.electionID, "election-id", "usher-leader", "`name` of the Lease by which the replica that writes status is elected")
}

func (f *statusFlags) check() error {
	if f.electionID == "" {
		return usagef("--election-id \"\": want a name")
	}
	_, err := f.service()
	return err
}

const noNodes = "none"

// nodeAddresses are what is published of the nodes.
func (f *statusFlags) nodeAddresses() status.NodeAddresses {
	switch {
	case f.internalNodes:
		return status.Internal
	case f.nodes.value == noNodes:
		return status.NoNodes
	}
	return status.NodeAddresses(f.nodes.value)
}

func (f *statusFlags) service() (object.Key, error) {
	return parseKey("publish-service", f.publishService)
}

// limitFlags bound what clients may do.
type limitFlags struct {
	headSize          int
	headTimeout       seconds
	bodyTimeout       seconds
	writeTimeout      seconds
	keepAlive         seconds
	keepAliveRequests int
	streams           int
	connections       int
}

func (f *limitFlags) register(set *pflag.FlagSet) {
	f.headTimeout, f.bodyTimeout = seconds(30*time.Second), seconds(60*time.Second)
	f.writeTimeout, f.keepAlive = seconds(60*time.Second), seconds(75*time.Second)
	set.IntVar(&f.headSize, "client-header-size", 64<<10, "largest head of a request in `bytes`; a larger one is answered 431")
	set.Var(&f.headTimeout, "client-header-timeout", "how long the head of a request may take; then 408")
	set.Var(&f.bodyTimeout, "client-body-timeout", "longest silence of a client in a request body; then 408")
	set.Var(&f.writeTimeout, "client-write-timeout", "how long a client may take to accept more of an answer")
	set.Var(&f.keepAlive, "keep-alive", "how long a connection may be idle between requests")
	set.IntVar(&f.keepAliveRequests, "keep-alive-requests", 1000, "how many requests an HTTP/1.1 connection may carry")
	set.IntVar(&f.connections, "max-connections", 0, "how many client connections may be open, those of TCP services too; one more is closed at once. 0 is a third of the limit of "+
		"open files, at most 65536: a connection may need another to its endpoint, and the rest is for the admin port, the API server and files")
	set.IntVar(&f.streams, "http2-max-concurrent-streams", 128, "how many requests an HTTP/2 connection may have in flight")
}

func (f *limitFlags) check() error {
	for _, v := range []struct {
		flag  string
		value int
		least int
	}{
		{"client-header-size", f.headSize, 1 << 10},
		{"client-header-timeout", int(f.headTimeout), 1},
		{"client-body-timeout", int(f.bodyTimeout), 1},
		{"client-write-timeout", int(f.writeTimeout), 1},
		{"keep-alive", int(f.keepAlive), 1},
		{"keep-alive-requests", f.keepAliveRequests, 1},
		{"http2-max-concurrent-streams", f.streams, 1},
		{"max-connections", f.connections, 0},
	} {
		if v.value < v.least {
			return usagef("--%s %d: want at least %d", v.flag, v.value, v.least)
		}
	}
	return nil
}

func (f *limitFlags) options() server.Limits {
	return server.Limits{
		HeadBytes:         f.headSize,
		FirstByte:         time.Duration(f.headTimeout),
		Head:              time.Duration(f.headTimeout),
		BodyIdle:          time.Duration(f.bodyTimeout),
		WriteIdle:         time.Duration(f.writeTimeout),
		KeepAlive:         time.Duration(f.keepAlive),
		KeepAliveRequests: f.keepAliveRequests,
		Streams:           f.streams,
		Connections:       f.connections,
	}
}
