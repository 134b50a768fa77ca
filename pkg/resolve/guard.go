package resolve

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Two annotations name Secrets that say whom to trust: auth-tls-secret, the CAs of client certificates, and proxy-ssl-secret, those of
// endpoints and what is shown to them. Each Ingress has its own; where it stands for other Ingresses too is in guards, below.
//
// A Secret that is missing or broken closes the paths that depend on it: a client that cannot be judged is not let in, and an endpoint
// that cannot be verified is not spoken to.

// guardSecret is a Secret that such an annotation names, and what was read of it.
type guardSecret struct {
	users  []*ingress
	object *corev1.Secret // nil if it does not exist
	read   bool

	cas         *route.ClientCAs
	casProblem  string
	casIgnored  []string // certificates of ca.crt that are not used
	roots       *x509.CertPool
	certificate *tls.Certificate
	upProblem   string
}

// References gives the Secrets that the annotations of an Ingress name, for those who read each by itself. No prefixes are the usual ones.
func References(prefixes []string) func(metav1.Object) []object.Change {
	if len(prefixes) == 0 {
		prefixes = usualPrefixes()
	}
	return func(o metav1.Object) []object.Change {
		in, ok := o.(*networkingv1.Ingress)
		if !ok {
			return nil
		}
		set, _ := policy.Parse(policy.Default(), policy.Input{Values: in.Annotations, Prefixes: prefixes})
		var to []object.Change
		for _, name := range []policy.SecretName{set.ClientCert.Secret, set.UpstreamTLS.Secret} {
			if key, own := ownSecret(in.Namespace, name); own && name.Name != "" {
				to = append(to, object.Change{Kind: object.Secret, Key: key})
			}
		}
		return to
	}
}

// ownSecret is the Secret under a name, and whether it is in the namespace of the Ingress.
func ownSecret(namespace string, name policy.SecretName) (object.Key, bool) {
	key := object.Key{Namespace: name.Namespace, Name: name.Name}
	if key.Namespace == "" {
		key.Namespace = namespace
	}
	return key, key.Namespace == namespace
}

// guardNames are the Secrets of its namespace that an Ingress's annotations name.
func (in *ingress) guardNames() []object.Key {
	if in.policy == nil {
		return nil
	}
	var keys []object.Key
	for _, name := range []policy.SecretName{in.policy.ClientCert.Secret, in.policy.UpstreamTLS.Secret} {
		if key, own := ownSecret(in.ref.Namespace, name); own && name.Name != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// isGuarded reports whether an Ingress has any of the two.
func (in *ingress) isGuarded() bool {
	return in.policy != nil && (in.policy.ClientCert.Wanted() || in.policy.UpstreamTLS.Wanted())
}

// enterGuards makes the Secrets that an Ingress names count, and leaveGuards undoes that.
func (r *Resolver) enterGuards(in *ingress) {
	for _, key := range in.guardNames() {
		s := r.guards[key]
		if s == nil {
			s = &guardSecret{}
			r.guards[key] = s
		}
		s.users = append(s.users, in)
	}
	if in.isGuarded() {
		r.work.guarded[in] = true
	}
}

func (r *Resolver) leaveGuards(in *ingress) {
	for _, key := range in.guardNames() {
		s := r.guards[key]
		if s.users = slices.DeleteFunc(s.users, func(u *ingress) bool { return u == in }); len(s.users) == 0 {
			delete(r.guards, key)
		}
	}
	delete(r.work.guarded, in)
	r.problems.replace(in.guardDiagnostics, nil)
	in.guardDiagnostics = nil
	r.use(in, nil)
}

// resolveGuards decides again for the Ingresses that are new or whose Secrets changed.
func (r *Resolver) resolveGuards(changed *changes) {
	for key := range changed.secrets {
		s := r.guards[key]
		if s == nil || !s.read || s.object != nil && s.object == r.work.snapshot.Secrets[key] {
			continue
		}
		s.read = false
		for _, in := range s.users {
			r.work.guarded[in] = true
		}
	}
	for in := range r.work.guarded {
		r.guard(in)
	}
}

// guard decides for one Ingress, and marks what depends on it.
func (r *Resolver) guard(in *ingress) {
	before := in.guardDiagnostics
	in.guardDiagnostics = nil
	in.clientAuth = r.clientAuth(in)
	r.use(in, r.upstreamTLS(in))
	r.problems.replace(before, in.guardDiagnostics)
	for _, h := range in.hosts {
		r.work.hosts[h.name] = true
	}
	r.work.catchAll = r.work.catchAll || in.catchAll
}

// use notes the TLS to endpoints of an Ingress among those in use.
func (r *Resolver) use(in *ingress, to *route.UpstreamTLS) {
	if in.upstream == to {
		return
	}
	r.work.upstreams = true
	if in.upstream = to; to == nil {
		delete(r.upstreams, in)
		return
	}
	r.upstreams[in] = to
}

// same gives the pointer that equal settings had before, under which their connections are kept.
func (r *Resolver) same(to *route.UpstreamTLS) *route.UpstreamTLS {
	if known := r.knownUpstreams[*to]; known != nil {
		return known
	}
	r.knownUpstreams[*to] = to
	return to
}

// upstreamsOr gives those in use, which are last if nothing changed.
func (r *Resolver) upstreamsOr(last []*route.UpstreamTLS) []*route.UpstreamTLS {
	if !r.work.upstreams {
		return last
	}
	now := slices.Collect(maps.Values(r.upstreams))
	clear(r.knownUpstreams)
	for _, to := range now {
		r.knownUpstreams[*to] = to
	}
	return now
}

// secretOf is the Secret of an annotation as read; a problem says why there is none.
func (r *Resolver) secretOf(in *ingress, name policy.SecretName) (s *guardSecret, problem string) {
	key, own := ownSecret(in.ref.Namespace, name)
	if !own {
		return nil, fmt.Sprintf("Secret %s is in another namespace; want one in %s", key, in.ref.Namespace)
	}
	s = r.guards[key]
	if !s.read {
		s.parse(key, r.work.snapshot.Secrets[key])
	}
	if s.object == nil {
		return nil, fmt.Sprintf("Secret %s %s", key, r.work.snapshot.Absent(object.Secret, key))
	}
	return s, ""
}

func (r *Resolver) clientAuth(in *ingress) *route.ClientAuth {
	want := &in.policy.ClientCert
	if !want.Wanted() {
		return nil
	}
	auth := &route.ClientAuth{Policy: want, Origin: in.annotation("auth-tls-secret")}
	if want.Bad {
		auth.Broken = policy.BadAnnotation // reported where it was read
		return auth
	}
	s, problem := r.secretOf(in, want.Secret)
	if problem == "" {
		auth.CAs, problem = s.cas, s.problemOf(s.casProblem)
	}
	if problem != "" {
		auth.Broken = policy.ClientCAUnavailable
		in.guarded(route.Diagnostic{Severity: route.Error, Reason: policy.ClientCAUnavailable, Origin: auth.Origin,
			Message: fmt.Sprintf("auth-tls-secret: %s", problem), Effect: "no client can be judged: what depends on it answers 503"})
		return auth
	}
	for _, ignored := range s.casIgnored {
		in.guarded(route.Diagnostic{Severity: route.Warning, Reason: policy.ClientCAUnavailable, Origin: auth.Origin,
			Message: fmt.Sprintf("auth-tls-secret: %s", ignored), Effect: "this CA is not trusted; the others are"})
	}
	return auth
}

func (r *Resolver) upstreamTLS(in *ingress) *route.UpstreamTLS {
	want := &in.policy.UpstreamTLS
	if !want.Wanted() {
		return nil
	}
	up := &route.UpstreamTLS{Policy: *want, Origin: in.annotation("proxy-ssl-secret")}
	if want.Bad {
		up.Broken = policy.BadAnnotation
		return r.same(up)
	}
	s, problem := r.secretOf(in, want.Secret)
	if problem == "" {
		problem = s.problemOf(s.upProblem)
	}
	if problem == "" {
		up.Roots, up.Certificate = s.roots, s.certificate
		if want.Verify && up.Roots == nil {
			problem = s.problemOf("it has no ca.crt, by which proxy-ssl-verify could verify endpoints")
		}
	}
	if problem != "" {
		up.Broken = policy.UpstreamTLSUnavailable
		in.guarded(route.Diagnostic{Severity: route.Error, Reason: policy.UpstreamTLSUnavailable, Origin: up.Origin,
			Message: fmt.Sprintf("proxy-ssl-secret: %s", problem), Effect: "endpoints are not spoken to over TLS: what depends on that answers 503"})
	}
	return r.same(up)
}

func (in *ingress) guarded(d route.Diagnostic) { in.guardDiagnostics = append(in.guardDiagnostics, d) }

// annotation is where an Ingress wrote an option.
func (in *ingress) annotation(name string) policy.Origin {
	for _, s := range in.policy.Settings() {
		if s.Key.Name == name && !s.Origin.IsDefault() {
			return s.Origin
		}
	}
	return in.at("metadata.annotations")
}

// problemOf says what is wrong with the Secret under its name; "" is nothing.
func (s *guardSecret) problemOf(what string) string {
	if what == "" {
		return ""
	}
	return fmt.Sprintf("Secret %s/%s: %s", s.object.Namespace, s.object.Name, what)
}

// parse reads a Secret for both uses; who uses it for one does not mind what is wrong for the other.
func (s *guardSecret) parse(key object.Key, object *corev1.Secret) {
	users := s.users
	*s = guardSecret{users: users, object: object, read: true}
	if object == nil {
		return
	}
	bundle, ignored, problem := readBundle(object)
	if s.casIgnored = ignored; problem == "" {
		var lists []*x509.RevocationList
		if lists, problem = readRevocations(object); problem == "" {
			s.cas = route.NewClientCAs(secretRef(key), bundle, lists)
		}
		s.roots = x509.NewCertPool()
		for _, c := range bundle {
			s.roots.AddCert(c)
		}
	}
	s.casProblem = problem
	s.certificate, s.upProblem = readPair(object)
	if _, err := secretField(object, caField); err == nil && s.roots == nil && s.upProblem == "" {
		s.upProblem = problem
	}
	if s.roots == nil && s.certificate == nil && s.upProblem == "" {
		s.upProblem = "it has neither ca.crt nor tls.crt and tls.key"
	}
}

const (
	caField  = "ca.crt"
	crlField = "ca.crl"
)

// readBundle reads ca.crt. A certificate that Go cannot read is left out, which trusts fewer; none at all is a problem.
func readBundle(s *corev1.Secret) (bundle []*x509.Certificate, ignored []string, problem string) {
	text, err := secretField(s, caField)
	if err != nil {
		return nil, nil, err.Error()
	}
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			ignored = append(ignored, fmt.Sprintf("certificate %d of ca.crt: %s", n, strings.TrimPrefix(err.Error(), "x509: ")))
			continue
		}
		bundle = append(bundle, c)
	}
	if len(bundle) == 0 {
		return nil, nil, strings.Join(append([]string{"ca.crt holds no usable certificate (PEM)"}, ignored...), "; ")
	}
	return bundle, ignored, ""
}

// readRevocations reads ca.crl; nil if there is none. A list that cannot be used in full is a problem, since it would let in whom it
// revokes.
func readRevocations(s *corev1.Secret) (lists []*x509.RevocationList, problem string) {
	text, err := secretField(s, crlField)
	if err != nil {
		if _, there := s.Data[crlField]; there {
			return nil, "ca.crl is empty"
		}
		return nil, ""
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Sprintf("list %d of ca.crl: %s", len(lists)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		if oid := criticalExtension(list); oid != "" {
			return nil, fmt.Sprintf("list %d of ca.crl has the critical extension %s; want a whole list of its issuer's own certificates", len(lists)+1, oid)
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, "ca.crl holds no list (PEM)"
	}
	return lists, ""
}

// criticalExtension finds what makes a list a part of one or somebody else's, in it or in its entries.
func criticalExtension(list *x509.RevocationList) string {
	for _, e := range list.Extensions {
		if e.Critical {
			return e.Id.String()
		}
	}
	for i := range list.RevokedCertificateEntries {
		for _, e := range list.RevokedCertificateEntries[i].Extensions {
			if e.Critical {
				return e.Id.String()
			}
		}
	}
	return ""
}

// readPair reads tls.crt and tls.key; nil if there is neither.
func readPair(s *corev1.Secret) (*tls.Certificate, string) {
	chain, noChain := secretField(s, corev1.TLSCertKey)
	key, noKey := secretField(s, corev1.TLSPrivateKeyKey)
	switch {
	case noChain != nil && noKey != nil:
		return nil, ""
	case noChain != nil:
		return nil, noChain.Error()
	case noKey != nil:
		return nil, noKey.Error()
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, strings.TrimPrefix(err.Error(), "tls: ")
	}
	return &pair, ""
}
