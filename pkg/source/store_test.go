package source

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// filled is a store whose first Snapshot was given away.
func filled(objects ...metav1.Object) *store {
	s := newStore()
	s.update(func() {
		for _, o := range objects {
			s.put(o)
		}
		s.complete = true
	})
	<-s.changed
	s.snapshot()
	return s
}

func (s *store) pending() bool {
	select {
	case <-s.changed:
		return true
	default:
		return false
	}
}

func TestStoreTellsExactlyWhatChanged(t *testing.T) {
	secretChange := object.Change{Kind: object.Secret, Key: demo("a")}
	renewed := secret("demo", "a")
	renewed.Data["tls.crt"] = []byte("renewed")
	for _, test := range []struct {
		name   string
		change func(*store)
		want   []object.Change
	}{
		{"nothing", func(*store) {}, []object.Change{}},
		{"the same again", func(s *store) { s.put(secret("demo", "a")) }, []object.Change{}},
		{"update", func(s *store) { s.put(renewed) }, []object.Change{secretChange}},
		{"there and back", func(s *store) { s.put(renewed); s.put(secret("demo", "a")) }, []object.Change{}},
		{"removed and made again", func(s *store) { s.remove(object.Secret, demo("a")); s.put(secret("demo", "a")) }, []object.Change{}},
		{"made and removed", func(s *store) { s.put(secret("demo", "b")); s.remove(object.Secret, demo("b")) }, []object.Change{}},
		{"removed", func(s *store) { s.remove(object.Secret, demo("a")) }, []object.Change{secretChange}},
		{"removed what is not there", func(s *store) { s.remove(object.Service, demo("a")) }, []object.Change{}},
		{"a slice moves to another Service", func(s *store) { s.put(slice("one", "other")) },
			[]object.Change{{Kind: object.EndpointSlice, Key: demo("other")}, {Kind: object.EndpointSlice, Key: demo("shop")}}},
		{"a slice loses its Service", func(s *store) { s.put(slice("one", "")) }, []object.Change{{Kind: object.EndpointSlice, Key: demo("shop")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := filled(secret("demo", "a"), slice("one", "shop"))
			s.update(func() { test.change(s) })
			snap, _ := s.snapshot()
			slices.SortFunc(snap.Changes, func(a, b object.Change) int { return len(b.Key.Name) - len(a.Key.Name) })
			if snap.Changes == nil || !slices.Equal(snap.Changes, test.want) {
				t.Errorf("changes %v, want %v", snap.Changes, test.want)
			}
		})
	}
}

func TestStoreSignalsOnlyChanges(t *testing.T) {
	s := filled(secret("demo", "a"))
	s.update(func() { s.put(secret("demo", "a")) })
	if s.pending() {
		t.Error("signalled without a change")
	}
	s.update(func() { s.setProblems([]object.Problem{{Where: "a.yaml", Message: "bad"}}) })
	if !s.pending() {
		t.Error("a new problem is not signalled")
	}
}

// TestSnapshotsAreNeverWritten compares what a Snapshot held before and after a change of every kind of change.
func TestSnapshotsAreNeverWritten(t *testing.T) {
	s := filled(secret("demo", "a"), slice("one", "shop"), slice("two", "shop"))
	before, _ := s.snapshot()
	group := slices.Clone(before.EndpointSlices.Of(demo("shop")))
	s.update(func() {
		s.put(secret("demo", "b"))
		s.remove(object.Secret, demo("a"))
		s.remove(object.EndpointSlice, demo("one"))
		changed := slice("two", "shop")
		changed.Endpoints = nil
		s.put(changed)
	})
	if len(before.Secrets) != 1 || before.Secrets[demo("a")] == nil || !slices.Equal(group, before.EndpointSlices.Of(demo("shop"))) {
		t.Error("it was written")
	}
	after, _ := s.snapshot()
	if len(after.Secrets) != 1 || len(after.EndpointSlices.Of(demo("shop"))) != 1 {
		t.Errorf("afterwards %v %v", after.Secrets, after.EndpointSlices)
	}
}

func TestTriggerTime(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name, text string
		believed   bool
	}{
		{"a second ago", now.Add(-time.Second).Format(time.RFC3339Nano), true},
		{"in the future", now.Add(time.Hour).Format(time.RFC3339Nano), false},
		{"yesterday", now.Add(-24 * time.Hour).Format(time.RFC3339Nano), false},
		{"nonsense", "soon", false},
		{"absent", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := slice("one", "shop")
			o.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: test.text}
			if got := occurred(o); (got.Before(now)) != test.believed {
				t.Errorf("occurred %v, now %v", got, now)
			}
		})
	}
}

func manyServices(n int) *store {
	s := newStore()
	s.update(func() {
		for i := range n {
			name := fmt.Sprint("service-", i)
			s.put(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}})
			s.put(slice(name+"-1", name))
		}
		s.complete = true
	})
	s.snapshot()
	return s
}

// BenchmarkEndpointChange is one EndpointSlice that changes among 20,000 Services: taking it in, with the clone of the map, and the
// Snapshot.
func BenchmarkEndpointChange(b *testing.B) {
	s := manyServices(20_000)
	versions := [2]*discoveryv1.EndpointSlice{slice("service-7-1", "service-7"), slice("service-7-1", "service-7")}
	versions[0].Endpoints[0].Addresses[0] = "10.0.0.2"
	var snapshots time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.update(func() { s.put(versions[i%2]) })
		start := time.Now()
		if snap, _ := s.snapshot(); len(snap.Changes) != 1 {
			b.Fatal(snap.Changes)
		}
		snapshots += time.Since(start)
	}
	b.ReportMetric(float64(snapshots.Nanoseconds())/float64(b.N), "ns/snapshot")
}

// BenchmarkDump reads a dump of 5,000 Ingresses as kubectl writes it.
func BenchmarkDump(b *testing.B) {
	data := dump(5000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if s := ReadBytes("dump.yaml", data); len(s.Ingresses) != 5000 || len(s.Problems) != 0 {
			b.Fatal(len(s.Ingresses), s.Problems)
		}
	}
	runtime.KeepAlive(data)
}

func dump(n int) []byte {
	out := []byte("apiVersion: v1\nitems:\n")
	for i := range n {
		out = fmt.Appendf(out, dumped, i, i, i)
	}
	return append(out, "kind: List\nmetadata:\n  resourceVersion: \"\"\n"...)
}

const dumped = `- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata:
    annotations:
      nginx.ingress.kubernetes.io/proxy-body-size: 8m
      nginx.ingress.kubernetes.io/affinity: cookie
    creationTimestamp: "2025-01-02T03:04:05Z"
    generation: 1
    labels:
      app.kubernetes.io/name: shop
    name: shop-%d
    namespace: demo
    resourceVersion: "4711"
    uid: 0f8fad5b-d9cb-469f-a165-70867728950e
  spec:
    ingressClassName: nginx
    rules:
    - host: shop-%d.example.com
      http:
        paths:
        - backend:
            service:
              name: shop
              port:
                number: 80
          path: /
          pathType: Prefix
    tls:
    - hosts:
      - shop-%d.example.com
      secretName: shop-tls
  status:
    loadBalancer:
      ingress:
      - ip: 192.0.2.1
`

// FuzzFiles holds the decoder to what it promises of any input: it ends, gives the same twice, names a place for every problem, and
// every object it gives is whole.
func FuzzFiles(f *testing.F) {
	for _, seed := range []string{"", shop, shop + "---\n" + service, "apiVersion: v1\nkind: List\nitems: [{}, 1, null]\n", string(dump(2)),
		`{"apiVersion":"v1","kind":"SecretList","items":[{"metadata":{"name":"a"},"stringData":{"b":"c"}}]}`, "--- \n...\n---\n- a", "\xef\xbb\xbf{", "a: &a [*a]",
		"kind: Service\nkind: Service\napiVersion: v1\nmetadata: {generateName: x}", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {x: '!'}\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, again := decode("x.yaml", data, func() {}), decode("x.yaml", data, func() {})
		if !slices.Equal(m.problems, again.problems) || len(m.entries) != len(again.entries) {
			t.Fatal("not the same twice")
		}
		for _, p := range m.problems {
			if p.Where == "" || p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
		for _, e := range m.entries {
			o := e.object
			if field, why := invalid(o); why != "" || o.GetUID() == "" || o.GetResourceVersion() == "" || object.KeyOf(o) != e.name.Key {
				t.Errorf("%+v: %s %s", e.name, field, why)
			}
		}
		again.keep("x.yaml", m)
		(&Files{held: map[string]*manifest{"x.yaml": m}, store: newStore(), log: noLog()}).publish(nil)
	})
}

func noLog() *zap.Logger { return zap.NewNop() }

// TestLastGoodSecret: an update without a usable certificate leaves the last usable version beside it, until it is mended or deleted.
func TestLastGoodSecret(t *testing.T) {
	s, good, other := newStore(), pair(t, "a"), pair(t, "b")
	bad := good.DeepCopy()
	bad.Data[corev1.TLSPrivateKeyKey] = other.Data[corev1.TLSPrivateKeyKey]
	s.completed()
	for i, step := range []struct {
		put  *corev1.Secret
		want *corev1.Secret
	}{{bad, nil}, {good, nil}, {bad, good}, {&corev1.Secret{ObjectMeta: good.ObjectMeta}, good}, {other, nil}, {bad, other}, {nil, nil}, {bad, nil}} {
		s.update(func() {
			if step.put == nil {
				s.remove(object.Secret, demo("tls"))
				return
			}
			s.put(step.put)
		})
		snap, _ := s.snapshot()
		if got := snap.LastGood[demo("tls")]; got != step.want || i > 0 && len(snap.Changes) != 1 {
			t.Errorf("step %d: last good %v, want %v; changes %v", i, got, step.want, snap.Changes)
		}
	}
	// Between two Snapshots only the last good version changes.
	s.update(func() { s.put(good); s.put(bad) })
	if snap, _ := s.snapshot(); snap.LastGood[demo("tls")] != good || len(snap.Changes) != 1 {
		t.Errorf("last good %v, changes %v", snap.LastGood, snap.Changes)
	}
}

func pair(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "tls"}, Data: map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}}
}
