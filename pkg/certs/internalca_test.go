package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// patience is how long a test waits for what takes a moment.
const patience = 20 * time.Second

// newMemory is a cluster's storage without a cluster.
func newMemory() *ClusterStorage {
	secrets, leases := newStores()
	return NewClusterStorage(secrets, leases, "a")
}

// runIssuer runs an Issuer with the internal CA until the test ends.
func runIssuer(t *testing.T, o ACMEOptions, names ...route.ACMEName) *Issuer {
	t.Helper()
	live, table := &route.Live{}, &route.Table{ACME: names, Certificates: &route.Certificates{}}
	live.Swap(table)
	o.Tables, o.CAs = live, []string{InternalCA}
	i, err := NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = i.Run(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	i.Use(table)
	return i
}

func named(name, namespace, secret string) route.ACMEName {
	return route.ACMEName{Name: name, Secret: secret, Origin: policy.Origin{Object: policy.Ref{Kind: "Ingress", Namespace: namespace, Name: "web"}, Field: "spec.tls[0]"}}
}

// awaitCertificate waits for the one that is served for name.
func awaitCertificate(t *testing.T, i *Issuer, name string) *route.Certificate {
	t.Helper()
	var found *route.Certificate
	await(t, "a certificate of "+name, func() bool {
		if all := i.Load().Certificates.For(name); len(all) == 1 {
			found = all[0]
		}
		return found != nil
	})
	return found
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// TestInternalCA gives certificates, wildcards too, that whoever trusts its root accepts; a second Usher with the same storage has the
// same root and the same certificates.
func TestInternalCA(t *testing.T) {
	storage := newMemory()
	names := []route.ACMEName{named("*.shop.test", "demo", ""), named("shop.test", "demo", "")}
	var first []*route.Certificate
	for range 2 {
		i := runIssuer(t, ACMEOptions{Storage: storage}, names...)
		pem, err := i.Root(t.Context())
		roots := x509.NewCertPool()
		if err != nil || !roots.AppendCertsFromPEM(pem) || bytes.Contains(pem, []byte("PRIVATE")) {
			t.Fatalf("root: %v\n%s", err, pem)
		}
		wild, exact := awaitCertificate(t, i, "*.shop.test"), awaitCertificate(t, i, "shop.test")
		for host, c := range map[string]*route.Certificate{"shop.test": exact, "a.shop.test": wild} {
			if _, err := c.TLS.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
		await(t, "readiness", func() bool { return i.Ready() == nil })
		if d := i.Load().Diagnostics; len(d) != 0 {
			t.Errorf("diagnostics %v", d)
		}
		if first == nil {
			first = []*route.Certificate{wild, exact}
		} else if !first[0].TLS.Leaf.Equal(wild.TLS.Leaf) || !first[1].TLS.Leaf.Equal(exact.TLS.Leaf) {
			t.Error("the second Usher had other certificates issued")
		}
	}
}

// TestIssuerServesWhatItHas: a handshake gets the certificate by the Issuer's Table, and a name that left the table has none.
func TestIssuerServesWhatItHas(t *testing.T) {
	i := runIssuer(t, ACMEOptions{Storage: newMemory()}, named("shop.test", "demo", ""))
	s, err := New(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.AnswerFor(i)
	want := awaitCertificate(t, i, "shop.test")
	hello := &tls.ClientHelloInfo{ServerName: "shop.test"}
	if got, err := s.GetCertificate(hello); err != nil || got != want.TLS {
		t.Errorf("served %v, %v", got, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.GetCertificate(hello) }); n != 0 {
		t.Errorf("a handshake costs %v allocations, want none", n)
	}
	i.Use(&route.Table{})
	await(t, "end of the certificate", func() bool { return len(i.Load().Certificates.For("shop.test")) == 0 })
}

// TestSecretsAreWritten tells what becomes of Secrets that Ingresses name: one that is missing is made, one that is ours follows the
// certificate, one of somebody else is left alone, and nothing is written by a replica that does not lead.
func TestSecretsAreWritten(t *testing.T) {
	theirs := &corev1.Secret{Data: map[string][]byte{"password": []byte("x")}}
	theirs.Name = "theirs"
	ours := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{corev1.TLSCertKey: []byte("old")}}
	ours.Name, ours.Annotations = "ours", map[string]string{hostAnnotation: "ours.test"}
	namespaces := map[string]*secretStore{}
	for _, namespace := range []string{"demo", "other", "quiet"} {
		namespaces[namespace], _ = newStores()
	}
	namespaces["demo"].objects["theirs"], namespaces["demo"].objects["ours"] = theirs, ours
	shared := named("one.test", "demo", "shared")
	shared.Shared = true
	options := ACMEOptions{Storage: newMemory(), Leads: func() bool { return true },
		Secrets: func(namespace string) Secrets { return namespaces[namespace] }}
	i := runIssuer(t, options, named("a.test", "demo", "same"), named("b.test", "demo", "same"), named("new.test", "other", "new"),
		named("ours.test", "demo", "ours"), named("theirs.test", "demo", "theirs"), shared, named("unnamed.test", "demo", ""))
	for host, s := range map[string]struct{ namespace, name string }{"new.test": {"other", "new"}, "ours.test": {"demo", "ours"}, "a.test": {"demo", "same"}} {
		c := awaitCertificate(t, i, host)
		await(t, "Secret of "+host, func() bool { return isPair(namespaces[s.namespace], s.name, c) })
	}
	want := []string{"b.test is not written to Secret demo/same: it is for the certificate of a.test", "one.test is not written to Secret demo/shared: the entry lists several hosts",
		"theirs.test is not written to Secret demo/theirs: it exists, and Usher did not make it"}
	await(t, "diagnostics "+strings.Join(want, ", "), func() bool {
		diagnostics := i.Load().Diagnostics
		return len(diagnostics) == len(want) && !slices.ContainsFunc(diagnostics, func(d route.Diagnostic) bool {
			return d.Reason != policy.SecretNotWritten || !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(d.Message, w) })
		})
	})
	if s, _ := namespaces["demo"].Get(t.Context(), "theirs", getOptions); len(s.Data) != 1 {
		t.Errorf("somebody's Secret became %v", s)
	}
	if n := len(namespaces["demo"].objects); n != 3 {
		t.Errorf("%d Secrets in namespace demo, want 3", n)
	}

	options.Leads = func() bool { return false }
	follower := runIssuer(t, options, named("new.test", "quiet", "new"))
	awaitCertificate(t, follower, "new.test")
	if follower.unwritten(time.Now()) != nil {
		t.Error("a replica that does not lead writes")
	}
}

// isPair reports whether the Secret is a usable one with the certificate, and ours.
func isPair(s *secretStore, name string, c *route.Certificate) bool {
	found, err := s.Get(context.Background(), name, getOptions)
	if err != nil || found.Type != corev1.SecretTypeTLS || found.Annotations[hostAnnotation] != c.Names[0] {
		return false
	}
	pair, err := tls.X509KeyPair(found.Data[corev1.TLSCertKey], found.Data[corev1.TLSPrivateKeyKey])
	return err == nil && pair.Leaf.Equal(c.TLS.Leaf)
}

var getOptions metav1.GetOptions
