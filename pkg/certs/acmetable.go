package certs

import (
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

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

// refresh takes what certmagic holds into use, if anything changed.
func (i *Issuer) refresh() {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := i.issued.Load()
	next := &issued{certificates: map[string]*route.Certificate{}, hashes: map[string]string{}}
	changed := false
	for name, m := range i.names {
		next.diagnostics = append(next.diagnostics, m.diagnostics()...)
		c := newest(i.cache.AllMatchingCertificates(name), name)
		if c == nil {
			if m.wanted.Written == nil {
				next.diagnostics = append(next.diagnostics, m.pending())
			}
			continue
		}
		if m.failed != "" {
			next.diagnostics = append(next.diagnostics, m.unrenewed(c.Leaf.NotAfter))
		}
		version := c.Hash() + hash(string(c.OCSPStaple))
		next.hashes[name], next.certificates[name] = version, last.certificates[name]
		if last.hashes[name] != version {
			changed = true
			next.certificates[name] = toRoute(c)
		}
	}
	slices.SortFunc(next.diagnostics, func(a, b route.Diagnostic) int { return strings.Compare(a.Message, b.Message) })
	if changed || len(last.certificates) != len(next.certificates) || !slices.Equal(last.diagnostics, next.diagnostics) {
		i.issued.Store(next)
	}
}

func (m *managed) pending() route.Diagnostic {
	d := route.Diagnostic{Severity: route.Warning, Reason: policy.CertificatePending, Origin: m.wanted.Origin,
		Message: "the certificate of " + m.wanted.Name + " is pending: none was issued by ACME yet",
		Effect:  "another certificate answers until then"}
	if m.failed != "" {
		d.Message = "the certificate of " + m.wanted.Name + " is pending; the last attempt failed: " + m.failed
	}
	return d
}

// unrenewed is about a certificate that is served, and whose renewal failed.
func (m *managed) unrenewed(until time.Time) route.Diagnostic {
	return route.Diagnostic{Severity: route.Warning, Reason: policy.CertificatePending, Origin: m.wanted.Origin,
		Message: "the certificate of " + m.wanted.Name + " is not renewed; the last attempt failed: " + m.failed,
		Effect:  "it is served on; it is valid until " + until.UTC().Format(time.RFC3339)}
}

// diagnostics are about what does not keep the name from being served.
func (m *managed) diagnostics() []route.Diagnostic {
	if m.unwritten == "" {
		return nil
	}
	return []route.Diagnostic{{Severity: route.Warning, Reason: policy.SecretNotWritten, Origin: m.wanted.Origin,
		Message: "the certificate of " + m.wanted.Name + " is not written to Secret " + m.wanted.Origin.Object.Namespace + "/" + m.wanted.Secret + ": " + m.unwritten,
		Effect:  "Usher serves it all the same; others do not find it in the Secret"}}
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

// Load is the Table in use, with what ACME adds: a certificate it gave is served in the place of the copy in a Secret. It is cheap: the
// two are put together once for each change of either.
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
			table.Certificates.Set(name, []*route.Certificate{c})
		}
	}
	table.Diagnostics = slices.Concat(from.Diagnostics, added.diagnostics)
	i.merged.Store(&merged{from, added, &table})
	return &table
}
