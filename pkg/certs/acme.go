package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// ACMEOptions are what an Issuer works with. Storage, Tables and CAs are required.
type ACMEOptions struct {
	Tables  Tables
	Storage certmagic.Storage
	CAs     []string       // URLs of ACME directories, in order of preference: a further one is asked when those before it fail
	Roots   *x509.CertPool // to verify the CAs' own servers with; nil for the system's
	Email   string
	EAB     *acme.EAB // for the first CA; may be nil

	// ListenHost, HTTPPort and HTTPSPort are where this process listens already, so that certmagic does not.
	ListenHost          string
	HTTPPort, HTTPSPort int
	Log                 *zap.Logger
}

// Issuer orders certificates for the names that the Table lists in ACME, renews them, and answers the CA's questions about them.
//
// Nothing waits for it: a name without a certificate gets what it would get otherwise, and a Diagnostic says that one is pending and
// why the last attempt failed. Attempts pause longer and longer, up to hours; CAs count failures.
//
// It is a Tables: the Table in use, with the certificates and Diagnostics of ACME in their places. So handshakes and whoever shows or
// explains certificates need no other way to them.
type Issuer struct {
	options ACMEOptions
	cache   *certmagic.Cache
	config  *certmagic.Config
	acme    []*certmagic.ACMEIssuer

	mu     sync.Mutex
	names  map[string]*managed
	issued atomic.Pointer[issued]
	merged atomic.Pointer[merged]
}

// managed is a name that is taken care of.
type managed struct {
	stop   context.CancelFunc
	field  policy.Origin
	failed string // why the last attempt failed
}

// issued is what ACME adds to a Table. It is never written after it was made.
type issued struct {
	certificates map[string]*route.Certificate
	hashes       map[string]string // by name, with the staple: what would change the certificate served
	diagnostics  []route.Diagnostic
}

// merged is a Table with what was added to it, and of what it was made.
type merged struct {
	from  *route.Table
	added *issued
	table *route.Table
}

// refreshEvery is how soon a certificate renewed here or stapled anew is served.
const refreshEvery = 2 * time.Second

// NewIssuer makes an Issuer; Run starts it.
func NewIssuer(o ACMEOptions) (*Issuer, error) {
	if len(o.CAs) == 0 {
		return nil, errors.New("acme: no CA")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	i := &Issuer{options: o, names: map[string]*managed{}}
	i.issued.Store(&issued{})
	i.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return i.config, nil },
		Logger:           o.Log,
	})
	i.config = certmagic.New(i.cache, certmagic.Config{Storage: o.Storage, Logger: o.Log, OnEvent: i.happened})
	i.config.Issuers = nil // New put a CA there that nobody asked for
	for n, ca := range o.CAs {
		template := certmagic.ACMEIssuer{
			CA: ca, Email: o.Email, Agreed: true, TrustedRoots: o.Roots, Logger: o.Log,
			ListenHost: o.ListenHost, AltHTTPPort: o.HTTPPort, AltTLSALPNPort: o.HTTPSPort,
		}
		if n == 0 {
			template.ExternalAccount = o.EAB
		}
		issuer := certmagic.NewACMEIssuer(i.config, template)
		i.acme = append(i.acme, issuer)
		i.config.Issuers = append(i.config.Issuers, issuer)
	}
	return i, nil
}

// Run looks after the names until ctx ends, then gives back locks.
func (i *Issuer) Run(ctx context.Context) error {
	defer i.cache.Stop()
	defer i.manage(nil)
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			i.refresh()
		}
	}
}

// Use takes over the names of a new Table. It does not block.
func (i *Issuer) Use(t *route.Table) {
	i.manage(t.ACME)
	i.refresh()
}

// manage begins with names that are new and ends with those that are gone. What was issued for those stays in the storage.
func (i *Issuer) manage(wanted []route.ACMEName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	keep := map[string]bool{}
	for _, w := range wanted {
		keep[w.Name] = true
		if m := i.names[w.Name]; m != nil {
			m.field = w.Origin
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		m := &managed{stop: cancel, field: w.Origin}
		i.names[w.Name] = m
		if strings.HasPrefix(w.Name, "*") {
			m.failed = "a wildcard needs the DNS-01 challenge, which Usher does not answer"
			continue
		}
		if err := i.config.ManageAsync(ctx, []string{w.Name}); err != nil {
			m.failed = err.Error()
		}
	}
	for name, m := range i.names {
		if keep[name] {
			continue
		}
		m.stop()
		delete(i.names, name)
		i.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	}
}

// happened is certmagic's report of what it does.
func (i *Issuer) happened(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_failed":
		err, _ := data["error"].(error)
		i.note(name, err)
	case "cert_obtained":
		i.note(name, nil)
	case "cached_managed_cert":
	default:
		return nil
	}
	i.refresh()
	return nil
}

func (i *Issuer) note(name string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	m := i.names[name]
	switch {
	case m == nil:
	case err == nil:
		m.failed = ""
	default:
		m.failed = err.Error()
	}
}

// refresh takes what certmagic holds into use, if anything changed.
func (i *Issuer) refresh() {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := i.issued.Load()
	next := &issued{certificates: map[string]*route.Certificate{}, hashes: map[string]string{}}
	changed := len(last.certificates)
	for name, m := range i.names {
		c := newest(i.cache.AllMatchingCertificates(name), name)
		if c == nil {
			next.diagnostics = append(next.diagnostics, m.pending(name))
			continue
		}
		hash := c.Hash() + hash(string(c.OCSPStaple))
		next.hashes[name], next.certificates[name] = hash, last.certificates[name]
		if last.hashes[name] == hash {
			changed--
			continue
		}
		changed = -1 << 30
		next.certificates[name] = toRoute(c)
	}
	slices.SortFunc(next.diagnostics, func(a, b route.Diagnostic) int { return strings.Compare(a.Message, b.Message) })
	if changed != 0 || !slices.Equal(last.diagnostics, next.diagnostics) {
		i.issued.Store(next)
	}
}

func (m *managed) pending(name string) route.Diagnostic {
	d := route.Diagnostic{Severity: route.Warning, Reason: policy.CertificatePending, Origin: m.field,
		Message: "the certificate of " + name + " is pending: none was issued by ACME yet",
		Effect:  "another certificate answers until then"}
	if m.failed != "" {
		d.Message = "the certificate of " + name + " is pending; the last attempt failed: " + m.failed
	}
	return d
}

// newest picks, of the certificates for exactly name, the one that is valid longest.
func newest(all []certmagic.Certificate, name string) *certmagic.Certificate {
	var best *certmagic.Certificate
	for n := range all {
		c := &all[n]
		if c.Leaf != nil && slices.Contains(c.Names, name) && (best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = c
		}
	}
	return best
}

func toRoute(c *certmagic.Certificate) *route.Certificate {
	pair := c.Certificate
	return &route.Certificate{
		Names: c.Names, TLS: &pair, NotFrom: c.Leaf.NotBefore, Until: c.Leaf.NotAfter,
		Secret: policy.Ref{Kind: "ACME", Namespace: "acme", Name: c.Leaf.Issuer.CommonName},
	}
}

// Load is the Table in use, with what ACME adds. It is cheap: the two are put together once for each change of either.
func (i *Issuer) Load() *route.Table {
	from, added := i.options.Tables.Load(), i.issued.Load()
	if from == nil || len(added.certificates) == 0 && len(added.diagnostics) == 0 {
		return from
	}
	if m := i.merged.Load(); m != nil && m.from == from && m.added == added {
		return m.table
	}
	table := *from
	if len(added.certificates) > 0 {
		table.Certificates = from.Certificates.Clone()
		for name, c := range added.certificates {
			table.Certificates.Add(name, c)
		}
	}
	table.Diagnostics = slices.Concat(from.Diagnostics, added.diagnostics)
	i.merged.Store(&merged{from, added, &table})
	return &table
}

// manages tells whether name is one that a CA may ask about.
func (i *Issuer) manages(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.names[name] != nil
}

// Answer answers HTTP-01 challenges (RFC 8555 section 8.3) for names it manages, whichever replica ordered, and hands on everything
// else, among it the challenges of other ACME clients behind Usher.
func (i *Issuer) Answer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") && r.TLS == nil && i.answers(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (i *Issuer) answers(w http.ResponseWriter, r *http.Request) bool {
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	if !i.manages(strings.TrimSuffix(host, ".")) {
		return false
	}
	return slices.ContainsFunc(i.acme, func(a *certmagic.ACMEIssuer) bool { return a.HandleHTTPChallenge(w, r) })
}

// challenge is the TLS configuration for a TLS-ALPN-01 challenge (RFC 8737), or nil if the handshake is none for a name it manages.
func (i *Issuer) challenge(hello *tls.ClientHelloInfo) *tls.Config {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmez.ACMETLS1Protocol {
		return nil
	}
	var buffer [maxName]byte
	if !i.manages(canonicalName(hello.ServerName, &buffer)) {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{acmez.ACMETLS1Protocol},
		GetCertificate: i.config.GetCertificate,
	}
}
