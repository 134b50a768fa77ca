package resolve

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Which certificate answers for a name, decided for each name on its own:
//
//	an entry of spec.tls gives its Secret to the hosts it lists, if the certificate covers them;
//	one without hosts gives it to those hosts of its Ingress's rules that the certificate covers;
//	one without secretName only says that the hosts are served over TLS, under the default certificate.
//
// Of two certificates with the same kind of key for one name the older Ingress's counts; an RSA and an ECDSA one are both kept. Only the
// entries of the namespace that owns the name are asked (owner.go), those for the wildcard above it included.
//
// A name listed in an entry is redirected to HTTPS even if its Secret is missing or broken; the default certificate answers then.

// tlsEntry is one entry of spec.tls.
type tlsEntry struct {
	field  string
	hosts  []string // as matched; empty: the hosts of the Ingress's rules
	secret object.Key
	named  bool // whether there is a secretName
}

// tlsNames are all names that TLS entries speak of.
type tlsNames struct {
	names        map[string]*tlsName
	secrets      map[object.Key]*secret
	unread       map[object.Key]bool // Secrets named for the first time
	certificates *route.Certificates
	orders       map[string]acmeOrder
	ordered      []route.ACMEName   // orders, as published
	reordered    bool               // whether orders changed in this turn
	unordered    []route.Diagnostic // about those that are beyond the bound
	owned        bool               // whether certificates is a copy made in this turn
	boundary     time.Time          // when the next certificate becomes valid or expires; zero if none does

	wildcards map[string]wildcardOwner // as they were when the names below them were last decided
	reports   map[string]bool          // wildcards whose others changed
	defaults  []route.Diagnostic
}

// tlsName is one name and the entries that speak of it.
type tlsName struct {
	claims  []tlsClaim // by namespace, then by age
	first   *ingress   // the oldest with an entry
	settled bool       // whether claims are in order and first is known

	on          bool // whether the name is served over TLS
	apart       bool // the entries of the wildcard above it are not for this name, but for those of its own namespace
	diagnostics []route.Diagnostic

	// Of a wildcard: the hosts below it, with their owners, that its entries would have changed if those were not of another namespace;
	// and whether a certificate of it is wanted of ACME, which depends on them.
	others           map[string]*ingress
	otherDiagnostics []route.Diagnostic
	orders           bool
}

type tlsClaim struct {
	*ingress
	entry *tlsEntry
	field string // of the host in the entry
}

func newTLSNames() tlsNames {
	return tlsNames{
		names: map[string]*tlsName{}, secrets: map[object.Key]*secret{}, unread: map[object.Key]bool{},
		certificates: &route.Certificates{}, orders: map[string]acmeOrder{},
		wildcards: map[string]wildcardOwner{}, reports: map[string]bool{},
	}
}

// claimsOf calls each for every name the entries of an Ingress speak of.
func (in *ingress) claimsOf(each func(name string, c tlsClaim)) {
	for i := range in.entries {
		e := &in.entries[i]
		for _, name := range e.hosts {
			each(name, tlsClaim{in, e, e.field})
		}
		if len(e.hosts) > 0 {
			continue
		}
		for _, h := range in.hosts {
			if h.name != "" {
				each(h.name, tlsClaim{in, e, e.field})
			}
		}
	}
}

// enterTLS makes the entries of an Ingress count, and leaveTLS undoes that.
func (r *Resolver) enterTLS(in *ingress) {
	t := &r.tls
	in.claimsOf(func(name string, c tlsClaim) {
		n := r.tlsName(name)
		n.claims, n.settled = append(n.claims, c), false
		r.work.speaks(name, in)
		r.options.Yield()
	})
	for i := range in.entries {
		if e := &in.entries[i]; e.named {
			t.secret(e.secret).usedBy(in)
		}
		r.work.entries[in] = true
	}
}

func (r *Resolver) leaveTLS(in *ingress) {
	t := &r.tls
	in.claimsOf(func(name string, _ tlsClaim) {
		n := t.names[name]
		n.claims, n.settled = slices.DeleteFunc(n.claims, func(c tlsClaim) bool { return c.ingress == in }), false
		r.work.speaks(name, in)
	})
	for i := range in.entries {
		e := &in.entries[i]
		if !e.named {
			continue
		}
		s := t.secret(e.secret)
		if s.users = slices.DeleteFunc(s.users, func(u *ingress) bool { return u == in }); len(s.users) == 0 {
			delete(t.secrets, e.secret)
		}
	}
	delete(r.work.entries, in)
}

// tlsName is the record of a name.
func (r *Resolver) tlsName(name string) *tlsName {
	n := r.tls.names[name]
	if n == nil {
		n = &tlsName{}
		r.tls.names[name] = n
		r.below.add(name)
	}
	return n
}

// secret is the record of a Secret somebody names.
func (t *tlsNames) secret(key object.Key) *secret {
	s := t.secrets[key]
	if s == nil {
		s = &secret{}
		t.secrets[key] = s
		t.unread[key] = true
	}
	return s
}

// covers reports whether a host is served over TLS: by its own name, or by that of the wildcard above it.
func (t *tlsNames) covers(host string) bool {
	n := t.names[host]
	if n != nil && (n.on || n.apart) {
		return n.on
	}
	n = t.names[wildcardOf(host)]
	return n != nil && n.on
}

// resolveTLS brings names and certificates up to date, and marks the hosts whose TLS changed.
func (r *Resolver) resolveTLS(changed *changes, now time.Time) {
	t := &r.tls
	t.owned = false
	r.readSecrets(changed)
	crossed := now.Before(r.now) || !t.boundary.IsZero() && !now.Before(t.boundary)
	if crossed {
		r.allEntries()
	}
	for in := range r.work.entries {
		r.reportEntries(in, now)
		r.options.Yield()
	}
	r.resolveDefault(now)
	r.resolveNames()
	r.publishOrders()
	if crossed || len(t.unread) > 0 || len(changed.secrets) > 0 {
		t.boundary = r.nextBoundary(now)
	}
	clear(t.unread)
}

// readSecrets parses what changed, and what is named for the first time.
func (r *Resolver) readSecrets(changed *changes) {
	for key := range changed.secrets {
		r.readSecret(key)
	}
	for key := range r.tls.unread {
		r.readSecret(key)
	}
}

func (r *Resolver) readSecret(key object.Key) {
	s := r.tls.secrets[key]
	if s == nil {
		return
	}
	changed := s.read(key, r.work.snapshot)
	if r.options.Yield(); !changed {
		return
	}
	for _, in := range s.users {
		r.work.entries[in] = true
		in.claimsOf(func(name string, _ tlsClaim) { r.work.speaks(name, in) })
	}
}

func (r *Resolver) allEntries() {
	for _, s := range r.tls.secrets {
		for _, in := range s.users {
			r.work.entries[in] = true
		}
	}
}

func (r *Resolver) nextBoundary(now time.Time) time.Time {
	var next time.Time
	consider := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, s := range r.tls.secrets {
		if s.certificate != nil {
			consider(s.certificate.NotFrom)
			consider(s.certificate.Until.Add(time.Nanosecond))
		}
	}
	return next
}

// reportEntries says what is wrong with the entries of an Ingress whatever the name: their Secrets.
func (r *Resolver) reportEntries(in *ingress, now time.Time) {
	before := in.tlsDiagnostics
	in.tlsDiagnostics = nil
	for i := range in.entries {
		if d, bad := r.entryProblem(in, &in.entries[i], now); bad {
			in.tlsDiagnostics = append(in.tlsDiagnostics, d)
		}
	}
	r.problems.replace(before, in.tlsDiagnostics)
}

func (r *Resolver) entryProblem(in *ingress, e *tlsEntry, now time.Time) (route.Diagnostic, bool) {
	d := route.Diagnostic{Severity: route.Error, Origin: in.at(e.field), Effect: "the default certificate is served for its hosts"}
	if !e.named {
		return d, false
	}
	s := r.tls.secrets[e.secret]
	switch {
	case s.object == nil:
		if r.wantsACME(in) {
			return d, false // an order is on its way, which says itself how it goes
		}
		d.Reason, d.Message = policy.NoSecret, fmt.Sprintf("Secret %s %s", e.secret, s.absent)
		if !r.options.ACME && r.asksACME(in) {
			d.Message += ", and the certificate that the Ingress asks for is ordered only by a `usher serve` with --acme-email"
		}
	case s.certificate == nil:
		d.Reason, d.Message = policy.BadSecret, fmt.Sprintf("Secret %s holds no usable certificate: %s", e.secret, s.problem)
	case s.problem != "":
		d.Reason, d.Message, d.Effect = policy.BadSecret, fmt.Sprintf("Secret %s holds no usable certificate: %s", e.secret, s.problem), lastGoodServes
	case len(e.hosts) == 0 && !in.anyHost(s):
		d.Reason, d.Message = policy.CertificateMismatch, fmt.Sprintf("the entry lists no hosts, and the certificate of Secret %s is valid for %s, which are not among the hosts of the rules", e.secret, displayNames(s.certificate))
		d.Effect = "the certificate is not served"
	case datesProblem(s.certificate, now) != "":
		d.Reason, d.Message, d.Effect = policy.CertificateExpired, datesProblem(s.certificate, now), "it is served all the same; clients refuse it"
	default:
		return d, false
	}
	return d, true
}

// lastGoodServes is the effect of an update that made a Secret unusable.
const lastGoodServes = "the last usable certificate it held is served on, until this Usher is started anew"

// anyHost reports whether the certificate of a Secret covers any host of the Ingress's rules.
func (in *ingress) anyHost(s *secret) bool {
	return slices.ContainsFunc(in.hosts, func(h *hostRules) bool { return s.covers(h.name) })
}

func displayNames(c *route.Certificate) string {
	if len(c.Names) == 0 {
		return "no name"
	}
	return joined(c.Names, strings.Clone)
}

// own makes certificates writable in this turn.
func (t *tlsNames) own() *route.Certificates {
	if !t.owned {
		t.certificates, t.owned = t.certificates.Clone(), true
	}
	return t.certificates
}

func (t *tlsNames) publish(name string, certificates []*route.Certificate, apart bool) {
	if !slices.Equal(t.certificates.For(name), certificates) {
		t.own().Set(name, certificates)
	}
	if t.certificates.Apart(name) != apart {
		t.own().SetApart(name, apart)
	}
}

// resolveDefault reads the certificate for names that no other covers.
func (r *Resolver) resolveDefault(now time.Time) {
	key := r.options.DefaultCertificate
	if key == (object.Key{}) {
		return
	}
	s := r.tls.secret(key)
	s.read(key, r.work.snapshot)
	if r.tls.certificates.Default != s.certificate {
		r.tls.own().Default = s.certificate
	}
	d := route.Diagnostic{
		Severity: route.Error, Origin: policy.Origin{Object: secretRef(key), Field: "data"},
		Effect: "a self-signed certificate is served for names that no other certificate covers",
	}
	switch {
	case s.object == nil:
		d.Reason, d.Message = policy.NoSecret, fmt.Sprintf("the default certificate's Secret %s %s", key, s.absent)
	case s.certificate == nil:
		d.Reason, d.Message = policy.BadSecret, fmt.Sprintf("the default certificate's Secret %s holds no usable certificate: %s", key, s.problem)
	case s.problem != "":
		d.Reason, d.Message, d.Effect = policy.BadSecret, fmt.Sprintf("the default certificate's Secret %s holds no usable certificate: %s", key, s.problem), lastGoodServes
	case datesProblem(s.certificate, now) != "":
		d.Reason, d.Message, d.Effect = policy.CertificateExpired, datesProblem(s.certificate, now), "it is served all the same; clients refuse it"
	}
	var found []route.Diagnostic
	if d.Reason != "" {
		found = []route.Diagnostic{d}
	}
	r.problems.replace(r.tls.defaults, found)
	r.tls.defaults = found
}
