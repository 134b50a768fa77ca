// Package route holds the immutable result of resolving a Snapshot: which host and path goes to which backend, with which policy,
// under which certificate, and everything that is wrong with it.
//
// One pointer, one generation: routes, endpoints, certificates and diagnostics change together. A Table is built whole, handed to
// Live, and never written again; what the request path wants to remember about an endpoint lives in package pool, keyed by its
// address. A Route names its Backend by index, so that a change of endpoints copies one slice of pointers and shares the rest.
package route

import (
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
)

// Table is everything the data plane knows. The zero Table routes nothing.
type Table struct {
	Generation uint64
	// Changed is when the oldest change that led to this Table was seen, or made where the object says so; zero if unknown.
	Changed time.Time

	Hosts *Hosts
	// Backends have unique names and none is nil. A Backend's index may differ from one Table to the next.
	Backends []*Backend
	// Default answers what no host or path claims; nil answers 404. One of an Ingress does not answer for hosts of other namespaces:
	// Fallback does, which is the controller's own.
	Default, Fallback *Route

	// Policy holds the controller-wide settings, for what is decided before a route is known.
	Policy *policy.Set

	// StickyKeys sign and check session cookies; the same on every replica. The pointer changes exactly when the keys do.
	StickyKeys *policy.StickyKeys

	// APIServers are where the cluster's API servers listen, as the EndpointSlice default/kubernetes says: no backend may be there.
	APIServers []netip.AddrPort

	// TCP are the ports whose connections are passed on as they are, in order.
	TCP []TCPService
	// Passes reports whether any host has Passthrough.
	Passes bool

	// ECH are the keys of Encrypted Client Hello.
	ECH []tls.EncryptedClientHelloKey

	// UpstreamTLS are all that routes have: connections that none of these made are of no use any more.
	UpstreamTLS []*UpstreamTLS

	Certificates *Certificates
	// ACME are the names that certificates are to be ordered for, sorted.
	ACME        []ACMEName
	Diagnostics []Diagnostic
	// Ingresses is what became of each Ingress that the source holds, claimed or not, for status, events and reports.
	Ingresses []IngressState
}

// Backend is what r goes to. A Route that is broken may have none; then it is nil.
func (t *Table) Backend(r *Route) *Backend {
	if r == nil || r.Backend < 0 || r.Backend >= len(t.Backends) {
		return nil
	}
	return t.Backends[r.Backend]
}

// Handshake is what a TLS handshake for a server name (lower case) may agree on.
func (t *Table) Handshake(name string) policy.TLS { return t.handshakeOf(t.Hosts.Find(name)) }

func (t *Table) handshakeOf(host *Host) policy.TLS {
	if host != nil && host.Handshake != nil {
		return *host.Handshake
	}
	if t.Policy != nil {
		return t.Policy.TLS
	}
	return policy.DefaultTLS()
}

// IngressState is what became of one Ingress.
type IngressState struct {
	Object  policy.Ref
	UID     string
	Claimed bool
	Class   string // the IngressClass or annotation value by which it was claimed, or the one it names
	// Hosts are those that it declares, where it is not claimed: nothing else in the Table tells of them.
	Hosts []string
}

// PathType is how a path matches.
type PathType string

// The path types of the Ingress API. ImplementationSpecific is resolved to Prefix.
const (
	Exact  PathType = "Exact"
	Prefix PathType = "Prefix"
)

// Host is one virtual host: an exact name, a wildcard ("*.example.com", one label), or "" for host-less rules.
type Host struct {
	Name string
	// TLS reports whether an Ingress's TLS section names this host; plain HTTP is then redirected.
	TLS bool
	// Handshake is what a handshake for this host may agree on; nil is what the controller's settings say.
	Handshake *policy.TLS
	// ClientAuth is what is wanted of the clients of what no Route claims; nil wants nothing. Asks is what handshakes for this host ask
	// for, on behalf of all its routes; nil asks for nothing.
	ClientAuth *ClientAuth
	Asks       *CertificateRequest
	// Passthrough is where TLS connections for this host go as they are; nil when TLS is ended here.
	Passthrough *Stream
	// Default answers paths that no Route claims: the spec.defaultBackend of the oldest Ingress with rules for this host. May be nil.
	Default *Route
	Paths   Paths
	// Origin is the oldest rule that declares this host, which belongs to its namespace.
	Origin policy.Origin
}

// Route is one path of one host.
type Route struct {
	Host    string
	Path    string // normalised, as matched; see Normalize
	Type    PathType
	Ingress policy.Ref
	Origin  policy.Origin // object and field that declare it
	Backend int           // index into Table.Backends; -1 when Broken says why there is none
	Policy  *policy.Set
	// ClientAuth is what is wanted of clients' certificates; nil wants nothing.
	ClientAuth *ClientAuth
	// UpstreamTLS is how endpoints are spoken to over TLS; nil verifies and shows nothing.
	UpstreamTLS *UpstreamTLS
	// Broken, when not empty, is why this path answers 503 for itself. It never falls through to a wider route.
	Broken policy.Reason
	// Canary, when not nil, takes a share of the route's traffic.
	Canary *Canary
	// Shadowed are the declarations of the same host, path and type that lost to this one.
	Shadowed []policy.Origin
}

// Canary is another backend for a Route, from an Ingress with canary: "true" and the same host, path and path type. It has the
// Route's own policy otherwise, as in ingress-nginx.
type Canary struct {
	Backend int // index into Table.Backends; -1 when Broken says why there is none
	Policy  *policy.Canary
	Ingress policy.Ref
	Origin  policy.Origin
	Broken  policy.Reason
}

// Backend is a port of a Service and the endpoints behind it.
type Backend struct {
	Name      string // "namespace/service:port", unique in a Table
	Namespace string
	Service   string
	Port      string // as the Ingress writes it: a number or a name
	// Protocol comes from the Service port's appProtocol; ProtocolUnset where it has none. A route's backend-protocol wins.
	Protocol policy.Protocol
	// ClientIP tells that the Service has sessionAffinity: ClientIP.
	ClientIP bool
	// Endpoints are the ones new requests go to: all that are ready, or where none is, those still serving.
	Endpoints []Endpoint
	// Draining are terminating endpoints that still serve: only sticky holders go there. Unready are the rest, for explain: those that
	// are not ready, and ready ones that are meant for another zone.
	Draining []Endpoint
	Unready  []Endpoint
	// Reason is why Endpoints is empty; "" otherwise. Detail says it with names.
	Reason policy.Reason
	Detail string
	Origin policy.Origin // the Service
}

// Endpoint is one address of a Backend. It is comparable.
type Endpoint struct {
	Addr        netip.AddrPort // invalid for an ExternalName endpoint
	Name        string         // host:port of an ExternalName endpoint, otherwise empty
	Pod         string         // name of the Pod, in the Backend's namespace; may be empty
	PodUID      string
	Node        string
	Zone        string
	Ready       bool
	Serving     bool
	Terminating bool
}

// Address is what identifies the endpoint to the pool: "ip:port" or "name:port".
func (e *Endpoint) Address() string {
	if e.Name != "" {
		return e.Name
	}
	return e.Addr.String()
}

// ACMEName is a host, or a wildcard, whose Ingress asks for a certificate, and the field that names it. It is comparable.
type ACMEName struct {
	Name   string
	Origin policy.Origin
	// Secret is the one that the entry names, in the Ingress's namespace; empty if none. It does not exist, or was written for ACME.
	Secret string
	// Shared tells that the entry lists other hosts too, so that the Secret is not for the certificate of this one alone.
	Shared bool
	// Written is what was written to the Secret before; nil if there is nothing usable.
	Written *Certificate
}

// Certificate is one certificate with its key, and where it came from.
type Certificate struct {
	Names   []string // DNS names it is valid for, lower case, wildcards as "*.example.com"
	Secret  policy.Ref
	TLS     *tls.Certificate // Leaf is set
	NotFrom time.Time
	Until   time.Time
}

// Identity is what stays the same about an endpoint however often its address changes, on every replica: the name of a StatefulSet's
// Pod, the UID of any other, or the address where no Pod is known.
func (e *Endpoint) Identity() string {
	switch {
	case e.Pod != "" && hasOrdinal(e.Pod):
		return e.Pod
	case e.PodUID != "":
		return e.PodUID
	}
	return e.Address()
}

// hasOrdinal reports whether a Pod's name ends like those of a StatefulSet, "-0" to "-9999". Those of ReplicaSets and DaemonSets end in
// five characters, so that they are never taken for one.
func hasOrdinal(pod string) bool {
	i := len(pod)
	for i > 0 && pod[i-1] >= '0' && pod[i-1] <= '9' {
		i--
	}
	digits := len(pod) - i
	return i > 1 && pod[i-1] == '-' && digits >= 1 && digits <= 4 && (digits == 1 || pod[i] != '0')
}

// Severity of a Diagnostic.
type Severity string

// The severities. An error affects traffic.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Diagnostic is one thing that was ignored, overridden, refused or broken.
type Diagnostic struct {
	Severity Severity      `json:"severity"`
	Reason   policy.Reason `json:"reason"`
	Origin   policy.Origin `json:"origin"`
	Message  string        `json:"message"` // with the value found and the expectation
	Effect   string        `json:"effect"`  // on traffic
}

// String is one line: severity, reason, origin, message, effect.
func (d Diagnostic) String() string {
	s := string(d.Severity) + " " + string(d.Reason) + " " + d.Origin.String() + ": " + d.Message
	if d.Effect != "" {
		s += "; " + d.Effect
	}
	return s
}
