// Package resolve turns a Snapshot of Kubernetes objects into the Table that serves requests, and says everything that is wrong.
//
// It is the one place that knows what an Ingress means. The steps, each in its own file:
//
//	class.go     which Ingresses are ours, and the settings their class starts from
//	ingress.go   one Ingress on its own: hosts, paths, backends and TLS entries it declares, and what is wrong with them
//	owner.go     the namespace that a host belongs to, and what others do not get to say for it
//	merge.go     all Ingresses together: the oldest wins a path, the others are told
//	backend.go   a port of a Service becomes endpoints, or the reason why there are none (endpoint.go, external.go)
//	tls.go       which certificate answers for which name (tlsname.go decides one name, secret.go reads one Secret)
//	guard.go     whose certificates are wanted: of clients, and of endpoints spoken to over TLS
//
// It is pure: no clock, no I/O, no log. A Resolver remembers its last result and does again only what a change touches; the outcome
// is the same as that of a new Resolver, which a test holds it to.
//
// Nothing that is broken spreads. A path whose backend cannot be used keeps its place and answers 503 for itself; it never falls
// through to a wider path, and no other object is affected.
package resolve

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/egress"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Options are the flags that decide what Ingresses mean. The zero value of a field is the flag's absence.
type Options struct {
	// ControllerClass is the spec.controller of the IngressClasses that are ours.
	ControllerClass string
	// IngressClass is the value of the legacy annotation kubernetes.io/ingress.class that is ours.
	IngressClass string
	// ClassByName claims spec.ingressClassName == IngressClass too, whoever controls that class and whether it exists.
	ClassByName bool
	// WithoutClass claims Ingresses that name no class.
	WithoutClass bool

	ConfigMap          object.Key // controller-wide settings
	DefaultCertificate object.Key // Secret for names that no other certificate covers
	ECHSecret          object.Key // keys of Encrypted Client Hello
	StickySecret       object.Key // key of session cookies; without it the key is derived from the IngressClass
	SessionKey         []byte     // used where no IngressClass has a UID to derive it from: random, made once for each process
	DefaultBackend     object.Key // Service for requests that nothing claims; its first port

	// AnnotationPrefixes are strongest first; none means "usher.dev/" and "nginx.ingress.kubernetes.io/".
	AnnotationPrefixes []string

	// AllowUpstream opens addresses that backends may not have otherwise: loopback, link-local, unspecified, multicast.
	AllowUpstream []netip.Prefix
	// AllowLoopback opens loopback addresses and the name localhost: for a person's own machine.
	AllowLoopback bool
	// Deny are further addresses that backends may not have: the API server's, and those of Usher's Pod. Own are Usher's own ports, which
	// nothing opens.
	Deny []netip.Prefix
	Own  egress.Listeners
	// DisableCatchAll ignores host-less rules and Ingresses that have a default backend only.
	DisableCatchAll bool
	// OwnPathsOnly refuses paths of other namespaces than the host's owner's, and catch-alls of others than the oldest's.
	OwnPathsOnly bool
	// TCPServices and UDPServices are ConfigMaps of services by port; OwnPorts are those that no service can have.
	TCPServices, UDPServices object.Key
	OwnPorts                 []uint16
	// ACME honours the annotations that ask for certificates.
	ACME bool
	// ACMENames are globs, as path.Match has them, of the names that are ordered; empty: all. ACMEPerNamespace bounds how many are, for
	// the Ingresses of one namespace; 0 does not.
	ACMENames        []string
	ACMEPerNamespace int
	// Passthrough honours ssl-passthrough.
	Passthrough bool
	// Zone is where Usher runs; endpoints hinted for it are preferred. Empty ignores hints.
	Zone string
	// Yield is called after each piece of work, which is about as large as one path, so that what else is to be run gets its turn. May
	// be nil.
	Yield func()
}

// Resolver resolves Snapshots. It is not safe for concurrent use.
type Resolver struct {
	options  Options
	previous *object.Snapshot // what the state below was resolved from; never nil
	now      time.Time
	turns    uint64 // calls of Resolve so far

	classes   *classes
	ingresses map[object.Key]*ingress // every Ingress, claimed or not
	hosts     map[string]*virtualHost
	below     below // hosts and TLS names
	catchAll  []*ingress
	backends  backends
	tls       tlsNames
	streams   streams
	guards    map[object.Key]*guardSecret
	upstreams map[*ingress]*route.UpstreamTLS

	rules egress.Rules // which addresses backends may have

	knownUpstreams map[route.UpstreamTLS]*route.UpstreamTLS
	passing        map[string]bool // hosts with ssl-passthrough
	problems       ledger
	sources        []route.Diagnostic // of Snapshot.Problems

	catchAllDiagnostics []route.Diagnostic

	ech            []tls.EncryptedClientHelloKey
	echDiagnostics []route.Diagnostic

	sticky            *policy.StickyKeys
	stickyDiagnostics []route.Diagnostic
	stickyUsers       int // Ingresses with session affinity

	table *route.Table
	work  work
}

// work is what one turn still has to look at.
type work struct {
	snapshot *object.Snapshot
	hosts    map[string]bool            // hosts to merge again
	names    map[string]bool            // TLS names to decide again
	spoken   map[string]map[string]bool // namespaces whose TLS entries for a wildcard changed
	entries  map[*ingress]bool
	states   map[object.Key]bool // Ingresses read again
	catchAll bool
	classes  bool
	streams  bool // places of their backends changed

	guarded   map[*ingress]bool // Ingresses whose guards are to be decided again
	upstreams bool              // TLS to endpoints that is in use changed
}

// New returns a Resolver that has seen nothing yet.
func New(o Options) *Resolver {
	if len(o.AnnotationPrefixes) == 0 {
		o.AnnotationPrefixes = usualPrefixes()
	}
	if o.Yield == nil {
		o.Yield = func() {}
	}
	r := &Resolver{
		options:   o,
		rules:     egress.Rules{Allow: o.AllowUpstream, Loopback: o.AllowLoopback, Deny: o.Deny, Own: o.Own},
		previous:  &object.Snapshot{},
		ingresses: map[object.Key]*ingress{},
		hosts:     map[string]*virtualHost{},
		below:     below{},
		backends:  newBackends(),
		tls:       newTLSNames(),
		guards:    map[object.Key]*guardSecret{},
		upstreams: map[*ingress]*route.UpstreamTLS{},

		knownUpstreams: map[route.UpstreamTLS]*route.UpstreamTLS{},
		passing:        map[string]bool{},
		table:          &route.Table{Hosts: route.NewHosts(nil), Certificates: &route.Certificates{}},
	}
	global := policy.Default()
	r.classes = &classes{global: global, parsed: map[parsing]parsedSet{{}: {set: global}}}
	return r
}

func usualPrefixes() []string { return []string{"usher.dev/", "nginx.ingress.kubernetes.io/"} }

// Resolve gives the Table for s. s.Changes must name what differs from the Snapshot of the last call, or be nil.
// Table.Generation counts the calls; now only decides which certificates have expired. After a panic nothing is remembered: what was
// half done is done again from nothing by the next call.
func (r *Resolver) Resolve(s *object.Snapshot, now time.Time) *route.Table {
	finished := false
	defer func() {
		if !finished {
			*r = *New(r.options)
		}
	}()
	changed := compare(r.previous, s, r.turns == 0)
	r.work = work{
		snapshot: s, hosts: map[string]bool{}, names: map[string]bool{}, spoken: map[string]map[string]bool{},
		entries: map[*ingress]bool{}, states: map[object.Key]bool{}, guarded: map[*ingress]bool{},
	}

	r.findServers(changed)
	r.resolveClasses(changed)
	r.resolveIngresses(changed)
	r.resolveStreams(changed)
	r.resolveBackends(changed)
	r.resolveGuards(changed)
	r.resolveTLS(changed, now)
	r.mergeHosts()
	r.countPassthrough()
	r.resolveStickyKeys()
	r.resolveECH(changed)
	r.reportSources(s)

	r.previous, r.now = s, now
	r.turns++
	r.table = r.build(s)
	finished = true
	return r.table
}

// build assembles the Table from the state, sharing with the last one whatever did not change.
func (r *Resolver) build(s *object.Snapshot) *route.Table {
	last := r.table
	byDefault, fallback := last.Default, last.Fallback
	if r.work.catchAll {
		byDefault, fallback = r.defaultRoutes()
	}
	t := &route.Table{
		Generation:   r.turns,
		Changed:      s.Since,
		Hosts:        last.Hosts,
		Backends:     r.backends.publish(),
		Default:      byDefault,
		Fallback:     fallback,
		Policy:       r.classes.global,
		StickyKeys:   r.sticky,
		ECH:          r.ech,
		APIServers:   r.rules.Servers,
		TCP:          r.publishStreams(),
		Passes:       len(r.passing) > 0,
		UpstreamTLS:  r.upstreamsOr(last.UpstreamTLS),
		Certificates: r.tls.certificates,
		ACME:         r.tls.ordered,
		Diagnostics:  r.problems.settle(),
		Ingresses:    r.ingressStates(last.Ingresses),
	}
	if len(r.work.hosts) > 0 {
		t.Hosts = last.Hosts.With(r.rebuiltHosts())
	}
	return t
}

func (r *Resolver) reportSources(s *object.Snapshot) {
	var found []route.Diagnostic
	for _, p := range s.Problems {
		if p.Port != 0 {
			found = append(found, r.closedPort(p))
			continue
		}
		found = append(found, route.Diagnostic{
			Severity: route.Error, Reason: policy.BadInput, Origin: inputOrigin(p.Where),
			Message: p.Message, Effect: "this input is not used",
		})
	}
	r.problems.replace(r.sources, found)
	r.sources = found
}

// inputOrigin is where an input stands: "shop.yaml:12" is line 12 of an object of kind Input.
func inputOrigin(where string) policy.Origin {
	name, line := where, "as a whole"
	if i := strings.LastIndexByte(where, ':'); i > 0 && i+1 < len(where) && digits(where[i+1:]) == len(where)-i-1 {
		name, line = where[:i], "line "+where[i+1:]
	}
	return policy.Origin{Object: policy.Ref{Kind: "Input", Name: name}, Field: line}
}
