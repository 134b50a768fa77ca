package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// largeIngress has n rules with hosts of a pattern, and the same hosts in its TLS section: in one entry, or in one each.
func largeIngress(n int, pattern string, entries bool) *networkingv1.Ingress {
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "large", Generation: 1, CreationTimestamp: metav1.Unix(1, 0)}}
	one := networkingv1.IngressTLS{SecretName: "pair"}
	for i := range n {
		host := fmt.Sprintf(pattern, i)
		in.Spec.Rules = append(in.Spec.Rules, ruleTo(host, "shop"))
		one.Hosts = append(one.Hosts, host)
		if entries {
			in.Spec.TLS = append(in.Spec.TLS, networkingv1.IngressTLS{Hosts: []string{host}, SecretName: "pair"})
		}
	}
	if !entries {
		in.Spec.TLS = []networkingv1.IngressTLS{one}
	}
	return in
}

func ruleTo(host, service string) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
		Paths: []networkingv1.HTTPIngressPath{{Path: "/", Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: service, Port: networkingv1.ServiceBackendPort{Number: 80},
		}}}},
	}}}
}

// beside is a cluster with a large Ingress and a small one, and a Resolver that has seen it.
type beside struct {
	resolver *Resolver
	objects  map[object.Key]*networkingv1.Ingress
	turns    int64
}

func newBeside(o Options, ingresses ...*networkingv1.Ingress) *beside {
	o.WithoutClass = true
	c := &beside{resolver: New(o), objects: map[object.Key]*networkingv1.Ingress{}}
	for _, in := range ingresses {
		c.objects[object.KeyOf(in)] = in
	}
	c.resolver.Resolve(&object.Snapshot{Ingresses: c.objects}, time.Unix(100, 0))
	return c
}

// put resolves a change of one Ingress; nil removes it.
func (c *beside) put(key object.Key, in *networkingv1.Ingress) {
	c.objects = maps.Clone(c.objects)
	if c.objects[key] = in; in == nil {
		delete(c.objects, key)
	}
	c.turns++
	c.resolver.Resolve(&object.Snapshot{Ingresses: c.objects, Changes: []object.Change{{Kind: object.Ingress, Key: key}}}, time.Unix(100+c.turns, 0))
}

// edited is the next version of an Ingress, in which one rule is another.
func edited(in *networkingv1.Ingress, rule int) *networkingv1.Ingress {
	next := in.DeepCopy()
	next.Generation++
	next.Spec.Rules[rule].HTTP.Paths[0].Path += "x"
	return next
}

func processorTime() time.Duration {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// TestLargeIngressIsLinear: an Ingress with eight times as many rules costs about eight times as much processor time, not 64 times, to
// enter, to change and to remove. Quadratic loops cost minutes at the bound.
func TestLargeIngressIsLinear(t *testing.T) {
	for _, pattern := range []string{"h%d.example.com", "*.h%d.example.com"} {
		for _, entries := range []bool{false, true} {
			for _, annotations := range []map[string]string{nil, {tlsACME: "true"}, {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}} {
				t.Run(fmt.Sprint(pattern, entries, annotations), func(t *testing.T) {
					cost := func(n int) time.Duration {
						in := largeIngress(n, pattern, entries)
						in.Annotations = annotations
						return costOf(in)
					}
					few, many := cost(1250), cost(mostPaths)
					t.Logf("1,250 rules: %v; %d: %v", few, mostPaths, many)
					if many > 48*max(few, 5*time.Millisecond) {
						t.Errorf("%d rules took %v, 1,250 took %v; want about eight times as much", mostPaths, many, few)
					}
				})
			}
		}
	}
}

// costOf is the least processor time that a few rounds of the life of an Ingress took.
func costOf(in *networkingv1.Ingress) time.Duration {
	key, next := object.KeyOf(in), edited(in, len(in.Spec.Rules)/2)
	var costs []time.Duration
	for range 3 {
		began := processorTime()
		c := newBeside(Options{ACME: true}, in)
		c.put(key, next)
		c.put(key, nil)
		costs = append(costs, processorTime()-began)
	}
	return slices.Min(costs)
}

// TestBackendsOfALargeIngress: so is one whose rules go to a backend each, which leave together.
func TestBackendsOfALargeIngress(t *testing.T) {
	cost := func(n int, service func(i int) string) time.Duration {
		in := largeIngress(n, "h%d.example.com", false)
		for i := range in.Spec.Rules {
			to := in.Spec.Rules[i].HTTP.Paths[0].Backend.Service
			to.Name, to.Port.Number = service(i), int32(1+i)
		}
		return costOf(in)
	}
	for name, service := range map[string]func(int) string{
		"a Service each": func(i int) string { return fmt.Sprint("s", i) },
		"a port each":    func(int) string { return "shop" },
	} {
		few, many := cost(1250, service), cost(mostPaths, service)
		t.Logf("%s: 1,250 rules: %v; %d: %v", name, few, mostPaths, many)
		if many > 48*max(few, 5*time.Millisecond) {
			t.Errorf("%s: %d rules took %v, 1,250 took %v; want about eight times as much", name, mostPaths, many, few)
		}
	}
}

// tooMany are the Diagnostics of a Table that say that an Ingress has too many rules.
func tooMany(table *route.Table) (told []string) {
	for _, d := range table.Diagnostics {
		if d.Reason == policy.TooManyRules {
			told = append(told, d.String())
		}
	}
	return told
}

// TestTooManyRules: what an Ingress declares beyond the bound is closed and reported.
func TestTooManyRules(t *testing.T) {
	in := largeIngress(mostPaths+2, "h%d.example.com", true)
	table := New(Options{WithoutClass: true}).Resolve(&object.Snapshot{Ingresses: map[object.Key]*networkingv1.Ingress{object.KeyOf(in): in}}, time.Unix(100, 0))
	for i, want := range map[int]policy.Reason{0: "", mostPaths - 1: "", mostPaths: policy.TooManyRules, mostPaths + 1: policy.TooManyRules} {
		host := fmt.Sprintf("h%d.example.com", i)
		m := table.Lookup(route.Query{Host: host, Path: "/"})
		if m.Route == nil || m.Route.Broken != want || !m.Host.TLS {
			t.Errorf("%s leads to %+v; want it broken by %q, with TLS", host, m.Route, want)
		}
	}
	want := []string{
		"error too-many-rules Ingress tenant/large spec.rules[10000]: the Ingress has 10002 paths; want at most 10000; " +
			"the first 10000 are served; each of the others keeps its place and answers 503",
		"error too-many-rules Ingress tenant/large spec.tls[10000]: the Ingress has 10002 names in spec.tls; want at most 10000; " +
			"this entry and all after it are taken without their Secrets: the default certificate is served for their hosts",
	}
	if told := tooMany(table); !slices.Equal(told, want) {
		t.Errorf("told\n%q\nwant\n%q", told, want)
	}
}

// TestTooManyPaths: a path beyond the bound falls through neither to a wider path of its Ingress nor to one of another, and of TLS
// entries without hosts one is enough beyond it.
func TestTooManyPaths(t *testing.T) {
	in := largeIngress(2, "h%d.example.com", false)
	paths := in.Spec.Rules[0].HTTP
	for i := range mostPaths {
		next := paths.Paths[0]
		next.Path = fmt.Sprint("/", i)
		paths.Paths = append(paths.Paths, next)
	}
	in.Spec.TLS = slices.Repeat([]networkingv1.IngressTLS{{SecretName: "pair"}}, mostPaths+5)
	other := largeIngress(2, "h%d.example.com", false)
	other.Name = "other"
	c := newBeside(Options{}, in, other)
	for place, want := range map[string]policy.Reason{
		"h0.example.com/": "", "h0.example.com/9998": "", "h0.example.com/9999": policy.TooManyRules, "h0.example.com/9999/below": policy.TooManyRules,
		"h1.example.com/": policy.TooManyRules,
	} {
		host, path, _ := strings.Cut(place, "/")
		if m := c.resolver.table.Lookup(route.Query{Host: host, Path: "/" + path}); m.Route == nil || m.Route.Broken != want || m.Route.Ingress.Name != "large" {
			t.Errorf("%s leads to %+v; want one of the Ingress itself, broken by %q", place, m.Route, want)
		}
	}
	if got := c.resolver.ingresses[object.KeyOf(in)]; len(got.entries) != mostPaths/2 {
		t.Errorf("%d TLS entries are taken, want half as many as there may be names for two hosts", len(got.entries))
	}
}

// TestLargeIngressYields: an Ingress of 10,000 rules lets others run at least once for each rule when it comes, changes and goes.
func TestLargeIngressYields(t *testing.T) {
	yields := 0
	in := largeIngress(mostPaths, "h%d.example.com", false)
	c := newBeside(Options{Yield: func() { yields++ }}, in)
	for _, next := range []*networkingv1.Ingress{edited(in, 7), nil} {
		if yields < mostPaths {
			t.Errorf("%d yields for %d rules", yields, mostPaths)
		}
		yields = 0
		c.put(object.KeyOf(in), next)
	}
	if yields < mostPaths {
		t.Errorf("%d yields when %d rules go", yields, mostPaths)
	}
}

// TestOneRuleIsOneHost: of an Ingress with thousands of rules, TLS or not, a change of one makes one host anew, and allocates no more than
// the copies of lists of pointers.
func TestOneRuleIsOneHost(t *testing.T) {
	for _, tls := range []bool{false, true} {
		in := largeIngress(mostPaths, "h%d.example.com", false)
		if !tls {
			in.Spec.TLS = nil
		}
		c := newBeside(Options{}, in)
		before := map[string]*route.Host{}
		for _, h := range c.resolver.table.Hosts.All() {
			before[h.Name] = h
		}
		next := edited(in, 7)
		allocated := testing.AllocsPerRun(1, func() {
			next = edited(next, 7)
			c.put(object.KeyOf(in), next)
		}) - testing.AllocsPerRun(1, func() { edited(next, 7) })
		var anew []string
		for _, h := range c.resolver.table.Hosts.All() {
			if before[h.Name] != h {
				anew = append(anew, h.Name)
			}
		}
		if !slices.Equal(anew, []string{"h7.example.com"}) || allocated > mostPaths/10 {
			t.Errorf("TLS %t: hosts made anew: %d, %.0f allocations", tls, len(anew), allocated)
		}
	}
}

// BenchmarkLarge is a change of one rule of an Ingress with 10,000, and of a small one beside it.
func BenchmarkLarge(b *testing.B) {
	large, small := largeIngress(mostPaths, "h%d.example.com", false), largeIngress(1, "small%d.example.com", false)
	small.Namespace, small.Name = "other", "small"
	for name, in := range map[string]*networkingv1.Ingress{"itself": large, "beside": small} {
		b.Run(name, func(b *testing.B) {
			c := newBeside(Options{}, large, small)
			for b.Loop() {
				b.StopTimer()
				in = edited(in, 0)
				in.Spec.Rules[0].HTTP.Paths[0].Path = fmt.Sprint("/", in.Generation)
				b.StartTimer()
				c.put(object.KeyOf(in), in)
			}
		})
	}
}
