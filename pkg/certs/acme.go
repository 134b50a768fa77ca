package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/route"
)

// ACMEOptions are what an Issuer works with. Storage, Tables and CAs are required.
type ACMEOptions struct {
	Tables  Tables
	Storage certmagic.Storage
	CAs     []string       // URLs of ACME directories, or InternalCA, in order of preference: a further one is asked when those before it fail
	Roots   *x509.CertPool // to verify the CAs' own servers with; nil for the system's
	Email   string
	EAB     *acme.EAB  // for the first CA; may be nil
	DNS     *DNSUpdate // how DNS-01 is answered; nil: not at all, so that there are no wildcards

	// Secrets are where certificates are written besides, for the Ingresses that name a Secret; nil: nowhere. Leads reports whether
	// this replica is the one that writes.
	Secrets func(namespace string) Secrets
	Leads   func() bool

	// ListenHost, HTTPPort and HTTPSPort are where this process listens already, so that certmagic does not.
	ListenHost          string
	HTTPPort, HTTPSPort int
	Log                 *zap.Logger
}

// Issuer orders certificates for the names that the Table lists in ACME, renews them, and answers the CA's questions about them.
//
// Nothing waits for it: a name without a certificate gets what it would get otherwise, and a Diagnostic says that one is pending and
// why the last attempt failed. Attempts pause longer and longer, also over restarts; CAs count failures.
//
// It is a Tables: the Table in use, with the certificates and Diagnostics of ACME in their places. So handshakes and whoever shows or
// explains certificates need no other way to them.
type Issuer struct {
	options ACMEOptions
	cache   *certmagic.Cache
	plain   *certmagic.Config // HTTP-01 and TLS-ALPN-01
	dns     *certmagic.Config // DNS-01; nil without
	http    []*certmagic.ACMEIssuer
	lookups *lookups
	backoff *backoff
	loading chan struct{} // bounds how many names are read from the storage at once

	wanted chan []route.ACMEName // of the newest Table, for Run
	known  atomic.Pointer[map[string]bool]
	issued atomic.Pointer[issued]
	merged atomic.Pointer[merged]

	// mu is held while certmagic's cache is looked at, which may wait for the storage. Nothing that serves waits for it.
	mu    sync.Mutex
	names map[string]*managed

	hurry   atomic.Int64 // until when certmagic may change a certificate any moment; Unix nanoseconds
	busy    atomic.Bool  // a round of renewing and writing is on its way
	working sync.WaitGroup
	first   atomic.Int64 // when the first Table's names were taken over; Unix nanoseconds
	unread  atomic.Int64 // how many names the storage was not asked for yet
}

const (
	// refreshEvery is how soon a certificate renewed here or stapled anew is served, while that is likely to happen; slowEvery otherwise.
	refreshEvery = 2 * time.Second
	slowEvery    = 30 * time.Second
	hurryFor     = time.Minute

	mostLoading = 32
	shortLife   = 24 * time.Hour
	cleanEvery  = 24 * time.Hour
	cleanFirst  = 10 * time.Minute
	cleanGrace  = 30 * 24 * time.Hour // how long an expired certificate is kept
	// endFor is how long a replica that ends may take to give back locks; what it holds then, others take when the lock's term is over.
	endFor = 3 * time.Second
)

// NewIssuer makes an Issuer; Run starts it.
func NewIssuer(o ACMEOptions) (*Issuer, error) {
	if len(o.CAs) == 0 {
		return nil, errors.New("acme: no CA")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	i := &Issuer{options: o, names: map[string]*managed{}, loading: make(chan struct{}, mostLoading), wanted: make(chan []route.ACMEName, 1)}
	i.known.Store(&map[string]bool{})
	i.issued.Store(&issued{})
	i.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(c certmagic.Certificate) (*certmagic.Config, error) { return i.configFor(c.Names[0]), nil },
		Logger:           o.Log,
	})
	i.plain = i.newConfig(nil)
	for _, issuer := range i.plain.Issuers {
		if a, ok := issuer.(*certmagic.ACMEIssuer); ok {
			i.http = append(i.http, a)
		}
	}
	i.lookups, i.backoff = newLookups(o, i.http), newBackoff(o.Storage, i.plain.Issuers)
	if o.DNS != nil {
		i.dns = i.newConfig(o.DNS.solver(o.Log))
	}
	return i, nil
}

// newConfig is for names whose challenges are answered by solver, or if that is nil by HTTP-01 and TLS-ALPN-01.
func (i *Issuer) newConfig(solver acmez.Solver) *certmagic.Config {
	o := i.options
	config := certmagic.New(i.cache, certmagic.Config{Storage: o.Storage, Logger: o.Log, OnEvent: i.happened})
	config.Issuers = nil // New put a CA there that nobody asked for
	for n, ca := range o.CAs {
		if ca == InternalCA {
			config.Issuers = append(config.Issuers, internalCA{o.Storage})
			continue
		}
		template := certmagic.ACMEIssuer{
			CA: ca, Email: o.Email, Agreed: true, TrustedRoots: o.Roots, Logger: o.Log, DNS01Solver: solver,
			ListenHost: o.ListenHost, AltHTTPPort: o.HTTPPort, AltTLSALPNPort: o.HTTPSPort,
		}
		if n == 0 {
			template.ExternalAccount = o.EAB
		}
		config.Issuers = append(config.Issuers, certmagic.NewACMEIssuer(config, template))
	}
	return config
}

// configFor is that of the challenge by which a name is proved.
func (i *Issuer) configFor(name string) *certmagic.Config {
	if i.dns != nil && (i.options.DNS.Only || isWildcard(name)) {
		return i.dns
	}
	return i.plain
}

func isWildcard(name string) bool { return strings.HasPrefix(name, "*") }

// asksACME reports whether any CA wants a challenge answered.
func (i *Issuer) asksACME() bool { return len(i.http) > 0 }

// Root is the certificate of the internal CA, as PEM, for clients to trust. It is nil where there is no such CA.
func (i *Issuer) Root(ctx context.Context) ([]byte, error) {
	for _, issuer := range i.plain.Issuers {
		if ca, ok := issuer.(internalCA); ok {
			return ca.Root(ctx)
		}
	}
	return nil, nil
}

// Run looks after the names until ctx ends, then gives back locks.
func (i *Issuer) Run(ctx context.Context) error {
	defer i.cache.Stop()
	defer i.end()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	clean, next := time.NewTimer(cleanFirst), time.Time{}
	defer clean.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clean.C:
			i.background(func() { i.clean(ctx) })
			clean.Reset(cleanEvery)
		case now := <-tick.C:
			if now.Before(next) && now.UnixNano() > i.hurry.Load() {
				continue
			}
			next = now.Add(i.round(ctx, now))
		case names := <-i.wanted:
			if i.manage(names) {
				next = time.Time{}
				i.refresh()
			}
		}
	}
}

// round takes into use what has changed, has renewed what is due and written what is new, and tells when to look again.
func (i *Issuer) round(ctx context.Context, now time.Time) time.Duration {
	i.refresh()
	left, life := i.due(now)
	unwritten := i.unwritten(now)
	if i.options.Secrets != nil {
		i.refresh() // unwritten has notes
	}
	if (left > 0 || len(unwritten) > 0) && i.busy.CompareAndSwap(false, true) {
		i.background(func() {
			defer i.busy.Store(false)
			if left > 0 {
				_ = i.cache.RenewManagedCertificates(ctx) // it only queues, and never fails
			}
			i.write(ctx, unwritten)
		})
	}
	if left > 0 {
		life = left
	}
	return min(max(life/100, refreshEvery), slowEvery)
}

// due gives the shortest time that a short-lived certificate which is to be renewed has left, 0 if none is, and the shortest life of
// all. certmagic looks every ten minutes, which is too seldom for certificates that live for minutes or hours.
func (i *Issuer) due(now time.Time) (left, life time.Duration) {
	life = shortLife
	for _, c := range i.issued.Load().certificates {
		whole := c.Until.Sub(c.NotFrom)
		if whole >= shortLife {
			continue
		}
		life = min(life, whole)
		window := time.Duration(float64(whole) * certmagic.DefaultRenewalWindowRatio)
		if rest := max(c.Until.Sub(now), time.Nanosecond); rest < window && (left == 0 || rest < left) {
			left = rest
		}
	}
	return left, life
}

// background runs f beside everything else; the end waits for it a little.
func (i *Issuer) background(f func()) { i.working.Go(f) }

func (i *Issuer) clean(ctx context.Context) {
	err := certmagic.CleanStorage(ctx, i.options.Storage, certmagic.CleanStorageOptions{
		Logger: i.options.Log, Interval: cleanEvery, OCSPStaples: true, ExpiredCerts: true, ExpiredCertGracePeriod: cleanGrace,
	})
	if err = errors.Join(err, i.backoff.clean(ctx)); err != nil && ctx.Err() == nil {
		i.options.Log.Warn("what has expired is not removed from the storage", zap.Error(err))
	}
}

// end lets go of all names, and waits until their locks are given back.
func (i *Issuer) end() {
	i.manage(nil)
	ended := make(chan struct{})
	go func() {
		i.working.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endFor):
	}
}
