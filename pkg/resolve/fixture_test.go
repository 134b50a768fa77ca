package resolve_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

// A fixture is a file of testdata:
//
//	# The rule it shows, in a sentence.
//	# flags: --disable-catch-all        (those of `usher serve`; optional)
//	...objects as YAML, on top of those in world.yaml, in namespace demo unless they say otherwise...
//	-- requests --
//	http://shop.example.com/cart -> demo/cart:80
//	http://shop.example.com/cart X-Canary: always -> demo/new:80      (with a header field)
//	-- table --
//	what Table.Print writes
//	-- diagnostics --
//	a line for each
//
// `go test ./pkg/resolve -update` writes what follows "->" and the last two sections. Read the difference before it is committed.
type fixture struct {
	options  resolve.Options
	snapshot *object.Snapshot
	requests []string
	head     string // all before the first section
	sections string // as they stand
}

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func readFixture(t *testing.T, file string) *fixture {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	world, err := os.ReadFile("testdata/world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{snapshot: newSnapshot()}
	f.head, f.sections = string(text), ""
	if i := strings.Index(f.head, "-- requests --\n"); i >= 0 {
		f.head, f.sections = f.head[:i], f.head[i:]
	}
	f.options = parseFlags(t, f.head)
	for _, documents := range []string{string(world), f.head} {
		for _, document := range strings.Split(documents, "\n---\n") {
			if err := add(f.snapshot, document); err != nil {
				t.Fatalf("%v in\n%s", err, document)
			}
		}
	}
	requests, _, _ := strings.Cut(f.sections, "-- table --\n")
	for _, line := range strings.Split(requests, "\n") {
		if request, _, _ := strings.Cut(line, " -> "); strings.HasPrefix(request, "http") {
			f.requests = append(f.requests, request)
		}
	}
	return f
}

func newSnapshot() *object.Snapshot {
	return &object.Snapshot{
		Ingresses:      map[object.Key]*networkingv1.Ingress{},
		IngressClasses: map[string]*networkingv1.IngressClass{},
		Services:       map[object.Key]*corev1.Service{},
		Secrets:        map[object.Key]*corev1.Secret{},
		Namespaces:     map[string]*corev1.Namespace{},
		ConfigMaps:     map[object.Key]*corev1.ConfigMap{},
		Pods:           map[object.Key]*corev1.Pod{},
	}
}

// parseFlags reads the comment "# flags:", with the names and meaning of `usher serve`.
func parseFlags(t *testing.T, head string) resolve.Options {
	t.Helper()
	o := resolve.Options{ControllerClass: "usher.dev/ingress-controller", IngressClass: "usher"}
	set := flag.NewFlagSet("flags", flag.ContinueOnError)
	set.StringVar(&o.ControllerClass, "controller-class", o.ControllerClass, "")
	set.StringVar(&o.IngressClass, "ingress-class", o.IngressClass, "")
	set.BoolVar(&o.ClassByName, "ingress-class-by-name", false, "")
	set.BoolVar(&o.WithoutClass, "watch-ingress-without-class", false, "")
	set.BoolVar(&o.DisableCatchAll, "disable-catch-all", false, "")
	set.Func("host-ownership", "", func(s string) error { o.OwnPathsOnly = s == "namespace"; return nil })
	set.BoolVar(&o.AllowLoopback, "manifests", false, "")
	set.StringVar(&o.Zone, "zone", "", "")
	set.BoolFunc("acme-email", "", func(string) error { o.ACME = true; return nil })
	set.Func("acme-names", "", func(s string) error { o.ACMENames = strings.Split(s, ","); return nil })
	set.IntVar(&o.ACMEPerNamespace, "acme-names-per-namespace", 0, "")
	set.BoolVar(&o.Passthrough, "enable-ssl-passthrough", false, "")
	key := func(k *object.Key) func(string) error {
		return func(s string) error { k.Namespace, k.Name, _ = strings.Cut(s, "/"); return nil }
	}
	set.Func("configmap", "", key(&o.ConfigMap))
	set.Func("default-ssl-certificate", "", key(&o.DefaultCertificate))
	set.Func("tcp-services-configmap", "", key(&o.TCPServices))
	set.Func("udp-services-configmap", "", key(&o.UDPServices))
	set.Func("http-port", "", func(s string) error {
		port, err := strconv.ParseUint(s, 10, 16)
		o.OwnPorts = append(o.OwnPorts, uint16(port))
		return err
	})
	set.Func("own", "", func(s string) error { // an address and port of Usher's
		o.Own.Bound = append(o.Own.Bound, netip.MustParseAddrPort(s))
		return nil
	})
	set.Func("default-backend-service", "", key(&o.DefaultBackend))
	set.Func("annotations-prefix", "", func(s string) error { o.AnnotationPrefixes = []string{"usher.dev/", s + "/"}; return nil })
	set.Func("allow-upstream-cidr", "", func(s string) error {
		o.AllowUpstream = append(o.AllowUpstream, netip.MustParsePrefix(s))
		return nil
	})
	for line := range strings.Lines(head) {
		if words, ok := strings.CutPrefix(line, "# flags:"); ok {
			if err := set.Parse(strings.Fields(words)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return o
}

// add puts a YAML document into a Snapshot; it takes the place of an object of the same name.
func add(s *object.Snapshot, document string) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil || kind.Kind == "" {
		return err
	}
	switch kind.Kind {
	case "Ingress":
		return into(document, s.Ingresses)
	case "Namespace":
		namespaces := map[object.Key]*corev1.Namespace{}
		err := into(document, namespaces)
		for k, namespace := range namespaces {
			s.Namespaces[k.Name] = namespace
		}
		return err
	case "Service":
		return into(document, s.Services)
	case "ConfigMap":
		return into(document, s.ConfigMaps)
	case "Secret":
		secrets := map[object.Key]*corev1.Secret{}
		err := into(document, secrets)
		for k, secret := range secrets {
			makeCertificate(secret)
			makeAuthorities(secret)
			s.Secrets[k] = secret
		}
		return err
	case "Pod":
		return into(document, s.Pods)
	case "IngressClass":
		classes := map[object.Key]*networkingv1.IngressClass{}
		err := into(document, classes)
		for k, class := range classes {
			s.IngressClasses[k.Name] = class
		}
		return err
	case "EndpointSlice":
		slices := map[object.Key]*discoveryv1.EndpointSlice{}
		err := into(document, slices)
		for _, slice := range slices {
			k := object.Key{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
			s.EndpointSlices.Set(k, append(s.EndpointSlices.Of(k), slice))
		}
		return err
	}
	return fmt.Errorf("kind %s is not one Usher reads", kind.Kind)
}

func into[T any, P interface {
	*T
	metav1.Object
}](document string, objects map[object.Key]P) error {
	o := P(new(T))
	if err := yaml.UnmarshalStrict([]byte(document), o); err != nil {
		return err
	}
	if _, isClass := any(o).(*networkingv1.IngressClass); !isClass && o.GetNamespace() == "" {
		o.SetNamespace("demo")
	}
	objects[object.Key{Namespace: o.GetNamespace(), Name: o.GetName()}] = o
	return nil
}

// makeCertificate turns stringData {certificate: "ECDSA shop.example.com *.example.com until 2025-01-01"} into a certificate and key.
func makeCertificate(s *corev1.Secret) {
	text, ok := s.StringData["certificate"]
	if !ok {
		return
	}
	delete(s.StringData, "certificate")
	words := strings.Fields(text)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "until":
			template.NotAfter, _ = time.Parse(time.DateOnly, words[i+1])
			i++
		case "from":
			template.NotBefore, _ = time.Parse(time.DateOnly, words[i+1])
			i++
		case "commonName":
			template.Subject = pkix.Name{CommonName: words[i+1]}
			i++
		default:
			template.DNSNames = append(template.DNSNames, words[i])
		}
	}
	chain, key := issue(template, words[0])
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey] = chain, key
}

var keyOf = map[string]func() crypto.Signer{
	"RSA": sync.OnceValue(func() crypto.Signer { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k }),
	"ECDSA": sync.OnceValue(func() crypto.Signer {
		k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return k
	}),
}

func issue(template *x509.Certificate, kind string) (chain, key []byte) {
	signer := keyOf[kind]()
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func fixtureFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// result is a Table with its Diagnostics and the answers to some requests, as the sections of a fixture.
func (f *fixture) result(t *route.Table) string {
	var b bytes.Buffer
	b.WriteString("-- requests --\n")
	for _, url := range f.requests {
		fmt.Fprintf(&b, "%s -> %s\n", url, answer(t, url))
	}
	b.WriteString("-- table --\n")
	t.Print(&b)
	b.WriteString("-- diagnostics --\n")
	for _, d := range t.Diagnostics {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}
