package route_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// signer is a certificate with its key.
type signer struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
	by  *signer
}

// issue makes a certificate by s, or where s is nil by itself. Options change it before it is signed.
func (s *signer) issue(t *testing.T, name string, options ...func(*x509.Certificate)) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: today.AddDate(-1, 0, 0), NotAfter: today.AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, o := range options {
		o(c)
	}
	parent := s
	if s == nil {
		parent = &signer{c, key, nil}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.Certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &signer{c, key, s}
}

// shown is the chain without the root.
func (s *signer) shown() (chain []*x509.Certificate) {
	for c := s; c.by != nil; c = c.by {
		chain = append(chain, c.Certificate)
	}
	return chain
}

func ca(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
}

// list is a revocation list of s. Options change it before it is signed.
func (s *signer) list(t *testing.T, revoked []*signer, options ...func(*x509.RevocationList)) *x509.RevocationList {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: today.Add(-time.Hour), NextUpdate: today.Add(time.Hour)}
	for _, r := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: today.Add(-time.Hour)})
	}
	for _, o := range options {
		o(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, s.Certificate, s.key)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = x509.ParseRevocationList(der); err != nil {
		t.Fatal(err)
	}
	return l
}

func bundle(signers ...*signer) (out []*x509.Certificate) {
	for _, s := range signers {
		out = append(out, s.Certificate)
	}
	return out
}

// TestVerify: what becomes of certificates, in the words that nginx passes on.
func TestVerify(t *testing.T) {
	var nobody *signer
	root := nobody.issue(t, "root", ca)
	middle := root.issue(t, "middle", ca)
	lower := middle.issue(t, "lower", ca)
	jane, joe, jim := root.issue(t, "jane"), middle.issue(t, "joe"), lower.issue(t, "jim")
	stranger := nobody.issue(t, "stranger", ca).issue(t, "jane")
	self := nobody.issue(t, "self")
	only := route.NewClientCAs(policy.Ref{}, bundle(root), nil)
	both := route.NewClientCAs(policy.Ref{}, bundle(root, middle), nil)
	for _, c := range []struct {
		what  string
		cas   *route.ClientCAs
		shown []*x509.Certificate
		depth int
		want  string
	}{
		{"none", only, nil, 1, "NONE"},
		{"by the CA", only, jane.shown(), 0, "SUCCESS"},
		{"one intermediate", only, joe.shown(), 1, "SUCCESS"},
		{"one intermediate, none allowed", only, joe.shown(), 0, "FAILED:unable to get local issuer certificate"},
		{"two intermediates, one allowed", only, jim.shown(), 1, "FAILED:unable to get local issuer certificate"},
		{"two intermediates", only, jim.shown(), 2, "SUCCESS"},
		{"intermediate not shown", only, joe.shown()[:1], 1, "FAILED:unable to verify the first certificate"},
		{"intermediate known", both, joe.shown()[:1], 1, "SUCCESS"},
		{"an intermediate beside its root is no end", both, joe.shown()[:1], 0, "FAILED:unable to get local issuer certificate"},
		{"an intermediate without its root is one", route.NewClientCAs(policy.Ref{}, bundle(middle), nil), joe.shown()[:1], 0, "SUCCESS"},
		{"somebody else's CA", only, stranger.shown(), 1, "FAILED:unable to verify the first certificate"},
		{"with somebody else's CA", only, append(stranger.shown(), stranger.by.Certificate), 1, "FAILED:self-signed certificate in certificate chain"},
		{"intermediate of somebody else's", route.NewClientCAs(policy.Ref{}, bundle(self), nil), joe.shown(), 1, "FAILED:unable to get local issuer certificate"},
		{"its own", only, bundle(self), 1, "FAILED:self-signed certificate"},
		{"its own, trusted", route.NewClientCAs(policy.Ref{}, bundle(self), nil), bundle(self), 0, "SUCCESS"},
		{"expired", only, bundle(root.issue(t, "old", func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Hour) })), 1, "FAILED:certificate has expired"},
		{"not yet", only, bundle(root.issue(t, "new", func(c *x509.Certificate) { c.NotBefore = today.Add(time.Hour) })), 1, "FAILED:certificate is not yet valid"},
		{"for servers only", only, bundle(root.issue(t, "server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), 1, "FAILED:unsuitable certificate purpose"},
		{"for anything", only, bundle(root.issue(t, "any", func(c *x509.Certificate) { c.ExtKeyUsage = nil })), 1, "SUCCESS"},
		{"by one that is no CA", only, bundle(jane.issue(t, "thief"), jane), 1, "FAILED:unable to get local issuer certificate"},
		{"more than anybody has", only, make([]*x509.Certificate, 17), 100, "FAILED:certificate chain too long"},
	} {
		if got := c.cas.Verify(c.shown, c.depth, today).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
}

// TestRevocation: once there is a list, every certificate of a chain has to be on good terms with one of its issuer.
func TestRevocation(t *testing.T) {
	var nobody *signer
	root, other := nobody.issue(t, "root", ca), nobody.issue(t, "other", ca)
	namesake := nobody.issue(t, "root", ca)
	middle := root.issue(t, "middle", ca)
	jane, joe, jim := root.issue(t, "jane"), root.issue(t, "joe"), middle.issue(t, "jim")
	late := func(l *x509.RevocationList) { l.NextUpdate = today.Add(-time.Minute) }
	early := func(l *x509.RevocationList) { l.ThisUpdate = today.Add(time.Minute) }
	for _, c := range []struct {
		what  string
		shown []*x509.Certificate
		lists []*x509.RevocationList
		want  string
	}{
		{"not listed", jane.shown(), []*x509.RevocationList{root.list(t, []*signer{joe})}, "SUCCESS"},
		{"listed", joe.shown(), []*x509.RevocationList{root.list(t, []*signer{joe})}, "FAILED:certificate revoked"},
		{"no list of its issuer", jane.shown(), []*x509.RevocationList{other.list(t, nil)}, "FAILED:unable to get certificate CRL"},
		{"a list by another key of that name", jane.shown(), []*x509.RevocationList{namesake.list(t, nil)}, "FAILED:unable to get certificate CRL"},
		{"expired", jane.shown(), []*x509.RevocationList{root.list(t, nil, late)}, "FAILED:CRL has expired"},
		{"expired, and listed", joe.shown(), []*x509.RevocationList{root.list(t, []*signer{joe}, late)}, "FAILED:certificate revoked"},
		{"expired, and a newer one", jane.shown(), []*x509.RevocationList{root.list(t, nil, late), root.list(t, nil)}, "SUCCESS"},
		{"not yet valid", jane.shown(), []*x509.RevocationList{root.list(t, nil, early)}, "FAILED:CRL is not yet valid"},
		{"the intermediate has no list", jim.shown(), []*x509.RevocationList{root.list(t, nil)}, "FAILED:unable to get certificate CRL"},
		{"lists of both", jim.shown(), []*x509.RevocationList{root.list(t, nil), middle.list(t, nil)}, "SUCCESS"},
		{"the intermediate is listed", jim.shown(), []*x509.RevocationList{root.list(t, []*signer{middle}), middle.list(t, nil)}, "FAILED:certificate revoked"},
	} {
		cas := route.NewClientCAs(policy.Ref{}, bundle(root, other), c.lists)
		if got := cas.Verify(c.shown, 1, today).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
}

// TestCertificateRequest: several sets of CAs are asked for together, in whatever order they come.
func TestCertificateRequest(t *testing.T) {
	var nobody *signer
	one := route.NewClientCAs(policy.Ref{}, bundle(nobody.issue(t, "one", ca)), nil)
	two := route.NewClientCAs(policy.Ref{}, bundle(nobody.issue(t, "two", ca)), nil)
	a, b := route.NewCertificateRequest([]*route.ClientCAs{one, two}), route.NewCertificateRequest([]*route.ClientCAs{two, one})
	if a.ID != b.ID || !a.CAs.Equal(b.CAs) || a.ID == one.Request.ID {
		t.Errorf("got %q and %q", a.ID, b.ID)
	}
	if route.NewCertificateRequest(nil) != nil || route.NewCertificateRequest([]*route.ClientCAs{one}) != one.Request {
		t.Error("none, or one")
	}
}
