package resolve_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

// TestIncremental holds the Resolver to its promise: after any sequence of changes it says what a new Resolver says. Objects come from
// the fixtures, put together at random, in the same world; half of the turns name their changes and half do not.
func TestIncremental(t *testing.T) {
	pool := readPool(t)
	for seed := range uint64(100) {
		// A seed draws from a few fixtures only, so that objects meet those they were written for.
		random := rand.New(rand.NewPCG(seed, 2))
		var few []*object.Snapshot
		for range 1 + random.IntN(12) {
			few = append(few, pool[random.IntN(len(pool))])
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runIncremental(t, few, seed) })
	}
}

// TestIncrementalOwners is the same with nothing but hosts that namespaces dispute.
func TestIncrementalOwners(t *testing.T) {
	var pool []*object.Snapshot
	files, err := filepath.Glob("testdata/owner/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, file := range files {
		pool = append(pool, readFixture(t, file).snapshot)
	}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runIncremental(t, pool, 1000+seed) })
	}
}

func runIncremental(t *testing.T, pool []*object.Snapshot, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	options := resolve.Options{
		ControllerClass: "usher.dev/ingress-controller", IngressClass: "usher",
		ConfigMap: object.Key{Namespace: "usher", Name: "config"}, DefaultCertificate: object.Key{Namespace: "usher", Name: "default"},
		TCPServices: object.Key{Namespace: "usher", Name: "tcp"}, UDPServices: object.Key{Namespace: "usher", Name: "udp"}, Passthrough: seed%2 == 0,
		OwnPathsOnly: seed%4 == 1, ACME: seed%3 != 0, ACMEPerNamespace: int(seed % 4),
		WithoutClass: seed%2 == 0, DisableCatchAll: seed%5 == 0, Zone: []string{"", "a"}[seed%2],
	}
	if seed%3 == 0 {
		options.DefaultBackend = object.Key{Namespace: "demo", Name: "web"}
	}
	if seed%7 == 0 {
		options.ACMENames = []string{"*.example.com"}
	}
	resolver := resolve.New(options)
	current, at := newSnapshot(), now
	for turn := range 50 {
		next := mutate(current, pool, random)
		if random.IntN(2) == 0 {
			next.Changes = nil
		}
		at = at.Add(time.Duration(random.IntN(40)-5) * 24 * time.Hour)
		got, want := resolver.Resolve(next, at), resolve.New(options).Resolve(next, at)
		if difference := compareTables(got, want); difference != "" {
			t.Fatalf("turn %d, changes %v: %s", turn, next.Changes, difference)
		}
		checkTable(t, got)
		current = next
	}
}

// compareTables gives the first line in which two Tables differ.
func compareTables(got, want *route.Table) string {
	text := func(t *route.Table) []string {
		var b strings.Builder
		t.Print(&b)
		for _, d := range t.Diagnostics {
			fmt.Fprintln(&b, d)
		}
		for _, s := range t.Ingresses {
			fmt.Fprintln(&b, s)
		}
		for _, backend := range t.Backends {
			if backend != nil {
				fmt.Fprintf(&b, "count %d\n", len(t.Backends))
			}
		}
		for _, c := range t.Certificates.All() {
			fmt.Fprintln(&b, c.Secret)
		}
		return strings.Split(b.String(), "\n")
	}
	a, b := text(got), text(want)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("got\n%s\nwant\n%s", a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("got %d lines, want %d\n%s", len(a), len(b), strings.Join(a, "\n"))
	}
	return ""
}

// checkTable holds what every reader of a Table relies on.
func checkTable(t *testing.T, table *route.Table) {
	t.Helper()
	names := map[string]bool{}
	for i, b := range table.Backends {
		if b == nil || names[b.Name] {
			t.Fatalf("backend %d is nil or not unique: %v", i, b)
		}
		names[b.Name] = true
		if (b.Reason == "") == (len(b.Endpoints) == 0) {
			t.Fatalf("backend %s: reason %q with %d endpoints", b.Name, b.Reason, len(b.Endpoints))
		}
	}
	passes := false
	for i := range table.TCP {
		if table.To(table.TCP[i].Stream) == nil || table.Service(table.TCP[i].Port) != &table.TCP[i] {
			t.Fatalf("TCP service %+v", table.TCP[i])
		}
	}
	for _, h := range table.Hosts.All() {
		if s := h.Passthrough; s != nil {
			passes = true
			if (s.Broken == "") != (table.To(s) != nil) || s.Policy == nil {
				t.Fatalf("host %s is passed through to %+v", h.Name, s)
			}
		}
		for _, r := range append(slices.Clone(h.Paths.All()), h.Default) {
			if r != nil && (r.Broken == "") != (table.Backend(r) != nil) || r != nil && (r.Policy == nil || r.Host != h.Name) {
				t.Fatalf("route %+v of host %q", r, h.Name)
			}
			if r != nil && r.UpstreamTLS != nil && !slices.Contains(table.UpstreamTLS, r.UpstreamTLS) {
				t.Fatalf("route %+v of host %q has TLS to endpoints that the table does not know", r, h.Name)
			}
		}
	}
	if passes != table.Passes {
		t.Fatalf("Passes is %v", table.Passes)
	}
}

// readPool reads the objects of all fixtures.
func readPool(t *testing.T) []*object.Snapshot {
	var pool []*object.Snapshot
	for _, file := range fixtureFiles(t) {
		pool = append(pool, readFixture(t, file).snapshot)
	}
	return pool
}

// mutate gives a Snapshot that differs in a few objects, copy-on-write, and names them.
func mutate(s *object.Snapshot, pool []*object.Snapshot, random *rand.Rand) *object.Snapshot {
	next := *s
	next.Changes = []object.Change{}
	from := pool[random.IntN(len(pool))]
	for range 1 + random.IntN(4) {
		switch random.IntN(12) {
		case 0, 1, 2:
			change(&next, object.Ingress, &next.Ingresses, swap(from.Ingresses, random))
		case 3:
			change(&next, object.Service, &next.Services, swap(from.Services, random))
		case 4, 5:
			mutateSlices(&next, from, random)
		case 6:
			change(&next, object.Secret, &next.Secrets, swap(from.Secrets, random))
		case 7:
			mutateClasses(&next, from, random)
		case 8:
			mutateNamespaces(&next, random)
		case 9, 10, 11:
			mutateRules(&next, pool, random)
		}
		if random.IntN(2) == 0 {
			from = pool[random.IntN(len(pool))]
		}
	}
	return &next
}

// swapped is an object to put, or with a nil value to remove.
type swapped[V any] struct {
	key   object.Key
	value V
	ok    bool
}

func swap[V any](from map[object.Key]V, random *rand.Rand) swapped[V] {
	keys := slices.SortedFunc(maps.Keys(from), func(a, b object.Key) int { return strings.Compare(a.String(), b.String()) })
	if len(keys) == 0 {
		return swapped[V]{}
	}
	key := keys[random.IntN(len(keys))]
	if random.IntN(4) == 0 {
		return swapped[V]{key: key, ok: true}
	}
	return swapped[V]{key, from[key], true}
}

func change[V comparable](s *object.Snapshot, kind object.Kind, objects *map[object.Key]V, put swapped[V]) {
	if !put.ok {
		return
	}
	*objects = maps.Clone(*objects)
	var none V
	if put.value == none {
		delete(*objects, put.key)
	} else {
		(*objects)[put.key] = put.value
	}
	s.Changes = append(s.Changes, object.Change{Kind: kind, Key: put.key})
}

// mutateNamespaces begins to delete a namespace that others share hosts with, or makes it again.
func mutateNamespaces(s *object.Snapshot, random *rand.Rand) {
	name := []string{"demo", "evil", "blue", "other"}[random.IntN(4)]
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if random.IntN(2) == 0 {
		namespace.DeletionTimestamp = &metav1.Time{Time: now}
	}
	s.Namespaces = maps.Clone(s.Namespaces)
	s.Namespaces[name] = namespace
	s.Changes = append(s.Changes, object.Change{Kind: object.Namespace, Key: object.Key{Name: name}})
}

// mutateRules edits the rules of an Ingress that is there, and nothing else of it: it takes some of another's, or leaves some out.
func mutateRules(s *object.Snapshot, pool []*object.Snapshot, random *rand.Rand) {
	put := swap(s.Ingresses, random)
	other := swap(pool[random.IntN(len(pool))].Ingresses, random).value
	if put.value == nil {
		return
	}
	in := put.value.DeepCopy()
	in.ResourceVersion, in.Generation = fmt.Sprint("edit", random.Uint64()), in.Generation+1+random.Int64N(1000)
	rules := in.Spec.Rules
	switch random.IntN(5) {
	case 0:
		if other != nil {
			rules = append(rules, other.DeepCopy().Spec.Rules...)
		}
	case 1:
		rules = rules[:random.IntN(len(rules)+1)]
	case 2:
		slices.Reverse(rules)
	default:
		for i := range rules {
			if rules[i].HTTP != nil && len(rules[i].HTTP.Paths) > 0 && random.IntN(2) == 0 {
				p := &rules[i].HTTP.Paths[random.IntN(len(rules[i].HTTP.Paths))]
				p.Path = []string{"/", "/a", "/a/", "/cart", "/b//c", "x", ""}[random.IntN(7)]
				if other != nil && other.Spec.DefaultBackend != nil && random.IntN(2) == 0 {
					p.Backend = *other.Spec.DefaultBackend
				}
			}
		}
	}
	in.Spec.Rules = rules
	put.value = in
	change(s, object.Ingress, &s.Ingresses, put)
}

func mutateSlices(s *object.Snapshot, from *object.Snapshot, random *rand.Rand) {
	put := swap(maps.Collect(from.EndpointSlices.All()), random)
	if !put.ok {
		return
	}
	s.EndpointSlices.Set(put.key, put.value)
	s.Changes = append(s.Changes, object.Change{Kind: object.EndpointSlice, Key: put.key})
}

func mutateClasses(s *object.Snapshot, from *object.Snapshot, random *rand.Rand) {
	change(s, object.ConfigMap, &s.ConfigMaps, swap(from.ConfigMaps, random))
	classes := slices.Sorted(maps.Keys(from.IngressClasses))
	name := classes[random.IntN(len(classes))]
	s.IngressClasses = maps.Clone(s.IngressClasses)
	if s.IngressClasses[name] = from.IngressClasses[name]; random.IntN(4) == 0 {
		delete(s.IngressClasses, name)
	}
	s.Changes = append(s.Changes, object.Change{Kind: object.IngressClass, Key: object.Key{Name: name}})
}

// large is a cluster with n Ingresses of three hosts each, 2n Services and 6n endpoints; every tenth Ingress has TLS.
func large(n int) *object.Snapshot {
	s := newSnapshot()
	s.IngressClasses["usher"] = &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "usher"}, Spec: networkingv1.IngressClassSpec{Controller: "usher.dev/ingress-controller"}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "tls", ResourceVersion: "1"}, StringData: map[string]string{"certificate": "ECDSA *.example.com"}}
	makeCertificate(secret)
	s.Secrets[object.Key{Namespace: "demo", Name: "tls"}] = secret
	for i := range 2 * n {
		largeService(s, i)
	}
	for i := range n {
		in := largeIngress(i)
		s.Ingresses[object.Key{Namespace: "demo", Name: in.Name}] = in
	}
	return s
}

func largeService(s *object.Snapshot, i int) {
	key := object.Key{Namespace: "demo", Name: fmt.Sprintf("s%d", i)}
	meta := metav1.ObjectMeta{Namespace: "demo", Name: key.Name, UID: types.UID(key.Name), ResourceVersion: "1"}
	s.Services[key] = &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	s.EndpointSlices.Set(key, []*discoveryv1.EndpointSlice{largeSlice(i, 3)})
}

func largeSlice(i, endpoints int) *discoveryv1.EndpointSlice {
	port := int32(8080)
	slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &port}}}
	for e := range endpoints {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", i>>8, i&255, e+1)}})
	}
	return slice
}

func largeIngress(i int) *networkingv1.Ingress {
	name := fmt.Sprintf("i%d", i)
	class, kind := "usher", networkingv1.PathTypePrefix
	in := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: name, UID: types.UID(name), ResourceVersion: "1", Generation: 1,
			Annotations: map[string]string{"nginx.ingress.kubernetes.io/proxy-read-timeout": "30", "nginx.ingress.kubernetes.io/proxy-buffering": "on"},
		},
		Spec: networkingv1.IngressSpec{IngressClassName: &class},
	}
	for h := range 3 {
		backend := func(offset int) networkingv1.IngressBackend {
			return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: fmt.Sprintf("s%d", 2*i+offset), Port: networkingv1.ServiceBackendPort{Number: 80},
			}}
		}
		in.Spec.Rules = append(in.Spec.Rules, networkingv1.IngressRule{
			Host: fmt.Sprintf("h%d-%d.example.com", i, h),
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
				{Path: "/", PathType: &kind, Backend: backend(0)}, {Path: "/api", PathType: &kind, Backend: backend(1)},
			}}},
		})
	}
	if i%10 == 0 {
		in.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{in.Spec.Rules[0].Host, in.Spec.Rules[1].Host}, SecretName: "tls"}}
	}
	return in
}

func benchmarkOptions() resolve.Options {
	return resolve.Options{ControllerClass: "usher.dev/ingress-controller", IngressClass: "usher"}
}

// BenchmarkCold resolves 10,000 Ingresses from nothing.
func BenchmarkCold(b *testing.B) {
	s := large(10000)
	b.ReportAllocs()
	for b.Loop() {
		resolve.New(benchmarkOptions()).Resolve(s, now)
	}
}

// BenchmarkEndpoints changes the endpoints of one Service among 20,000.
func BenchmarkEndpoints(b *testing.B) {
	s := large(10000)
	r := resolve.New(benchmarkOptions())
	r.Resolve(s, now)
	b.ReportAllocs()
	turn := 0
	for b.Loop() {
		turn++
		key := object.Key{Namespace: "demo", Name: fmt.Sprintf("s%d", turn%20000)}
		s.EndpointSlices.Set(key, []*discoveryv1.EndpointSlice{largeSlice(turn%20000, 1+turn/20000%3)})
		next := *s
		next.Changes = []object.Change{{Kind: object.EndpointSlice, Key: key}}
		r.Resolve(&next, now)
	}
}

// BenchmarkIngress changes one Ingress among 10,000: its annotations and one of its hosts.
func BenchmarkIngress(b *testing.B) {
	s := large(10000)
	r := resolve.New(benchmarkOptions())
	r.Resolve(s, now)
	b.ReportAllocs()
	turn := 0
	for b.Loop() {
		turn++
		in := largeIngress(turn % 10000)
		in.Generation = int64(turn + 1)
		in.Annotations["nginx.ingress.kubernetes.io/proxy-send-timeout"] = fmt.Sprint(1 + turn%60)
		in.Spec.Rules[2].Host = fmt.Sprintf("turn%d.example.com", turn%7)
		key := object.Key{Namespace: "demo", Name: in.Name}
		s.Ingresses[key] = in
		next := *s
		next.Changes = []object.Change{{Kind: object.Ingress, Key: key}}
		r.Resolve(&next, now)
	}
}

// BenchmarkUnknown is a turn that does not say what changed, when one Ingress did.
func BenchmarkUnknown(b *testing.B) {
	s := large(10000)
	r := resolve.New(benchmarkOptions())
	r.Resolve(s, now)
	b.ReportAllocs()
	turn := 0
	for b.Loop() {
		turn++
		in := largeIngress(turn % 10000)
		in.Generation, in.ResourceVersion = int64(turn+1), fmt.Sprint(turn)
		next := *s
		next.Ingresses = maps.Clone(s.Ingresses)
		next.Ingresses[object.Key{Namespace: "demo", Name: in.Name}] = in
		r.Resolve(&next, now)
	}
}
