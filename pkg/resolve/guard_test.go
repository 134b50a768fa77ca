package resolve_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

// makeAuthorities turns stringData {authorities: "one two", lists: "one"} into ca.crt and ca.crl.
func makeAuthorities(s *corev1.Secret) {
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	authorities := strings.Fields(s.StringData["authorities"])
	if len(authorities) > 0 {
		s.Data["ca.crt"] = []byte(s.StringData["ca.crt"]) // what else stands there
	}
	for _, name := range authorities {
		ca, _ := authority(name)
		s.Data["ca.crt"] = append(s.Data["ca.crt"], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})...)
	}
	for _, name := range strings.Fields(s.StringData["lists"]) {
		ca, key := authority(name)
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(1, 0, 0)}, ca, key)
		if err != nil {
			panic(err)
		}
		s.Data["ca.crl"] = append(s.Data["ca.crl"], pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	delete(s.StringData, "authorities")
	delete(s.StringData, "lists")
}

// authority makes a CA.
func authority(name string) (*x509.Certificate, crypto.Signer) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return ca, key
}

// TestReferences: a source that reads Secrets by name is told those of the annotations.
func TestReferences(t *testing.T) {
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Annotations: map[string]string{
		"nginx.ingress.kubernetes.io/auth-tls-secret": "demo/ca", "usher.dev/proxy-ssl-secret": "up",
	}}}
	secret := func(name string) object.Change {
		return object.Change{Kind: object.Secret, Key: object.Key{Namespace: "demo", Name: name}}
	}
	if got := resolve.References(nil)(in); !slices.Equal(got, []object.Change{secret("ca"), secret("up")}) {
		t.Errorf("got %v", got)
	}
	in.Annotations["nginx.ingress.kubernetes.io/auth-tls-secret"] = "other/ca"
	if got := resolve.References([]string{"usher.dev/", "nginx.ingress.kubernetes.io/"})(in); !slices.Equal(got, []object.Change{secret("up")}) {
		t.Errorf("a Secret of another namespace: %v", got)
	}
	if got := resolve.References(nil)(&networkingv1.IngressClass{}); got != nil {
		t.Errorf("a class: %v", got)
	}
}

// TestGuardsFollowTheirSecret: what was read of a Secret stays the same pointer until the Secret changes, since connections are kept by it.
func TestGuardsFollowTheirSecret(t *testing.T) {
	f := readFixture(t, "testdata/guard/client-cert.yaml")
	r := resolve.New(f.options)
	first := find(t, r.Resolve(f.snapshot, now), "/")
	key := object.Key{Namespace: "demo", Name: "ca"}

	same := *f.snapshot
	same.Changes = []object.Change{{Kind: object.Service, Key: object.Key{Namespace: "demo", Name: "web"}}}
	if again := find(t, r.Resolve(&same, now), "/"); again.ClientAuth != first.ClientAuth {
		t.Error("a change of something else made another one")
	}
	next := same
	next.Secrets = map[object.Key]*corev1.Secret{}
	next.Changes = []object.Change{{Kind: object.Secret, Key: key}}
	if gone := find(t, r.Resolve(&next, now), "/"); gone.ClientAuth.Broken == "" {
		t.Error("without its Secret the path is open")
	}
	fresh := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "ca"}, StringData: map[string]string{"authorities": "three"}}
	makeAuthorities(fresh)
	back := next
	back.Secrets = map[object.Key]*corev1.Secret{key: fresh}
	if now := find(t, r.Resolve(&back, now), "/"); now.ClientAuth.Broken != "" || now.ClientAuth.CAs == first.ClientAuth.CAs {
		t.Errorf("with another Secret: %+v", now.ClientAuth)
	}
}

// TestUpstreamTLSStays: connections to endpoints are kept by its pointer, so a change of the Ingress that means nothing to them keeps it.
func TestUpstreamTLSStays(t *testing.T) {
	f := readFixture(t, "testdata/guard/endpoints.yaml")
	r := resolve.New(f.options)
	first := find(t, r.Resolve(f.snapshot, now), "/")
	key := object.Key{Namespace: "demo", Name: "shop"}
	for annotation, stays := range map[string]bool{"usher.dev/proxy-read-timeout": true, "usher.dev/proxy-ssl-verify-depth": false} {
		next := *f.snapshot
		next.Ingresses = maps.Clone(next.Ingresses)
		changed := next.Ingresses[key].DeepCopy()
		changed.Annotations[annotation] = "7"
		next.Ingresses[key] = changed
		next.Changes = []object.Change{{Kind: object.Ingress, Key: key}}
		if got := find(t, r.Resolve(&next, now), "/").UpstreamTLS == first.UpstreamTLS; got != stays {
			t.Errorf("%s: the same %v, want %v", annotation, got, stays)
		}
		first = find(t, r.Resolve(f.snapshot, now), "/")
	}
}

func find(t *testing.T, table *route.Table, path string) *route.Route {
	t.Helper()
	m := table.Lookup(route.Query{Host: "shop.example.com", Path: path})
	if m.Route == nil {
		t.Fatal(m.Reason)
	}
	return m.Route
}
