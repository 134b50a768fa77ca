package resolve_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

// turns is a Resolver over a cluster that changes document by document.
type turns struct {
	t        *testing.T
	resolver *resolve.Resolver
	options  resolve.Options
	snapshot *object.Snapshot
	at       time.Time
}

func newTurns(t *testing.T, o resolve.Options) *turns {
	o.ControllerClass, o.IngressClass, o.WithoutClass = "usher.dev/ingress-controller", "usher", true
	return &turns{t: t, resolver: resolve.New(o), options: o, snapshot: newSnapshot(), at: now}
}

// apply puts documents into the cluster and resolves; the result must be that of a new Resolver.
func (c *turns) apply(documents ...string) *route.Table {
	c.t.Helper()
	next := &object.Snapshot{
		Ingresses: maps.Clone(c.snapshot.Ingresses), IngressClasses: maps.Clone(c.snapshot.IngressClasses), Services: maps.Clone(c.snapshot.Services),
		EndpointSlices: c.snapshot.EndpointSlices, Secrets: maps.Clone(c.snapshot.Secrets), ConfigMaps: maps.Clone(c.snapshot.ConfigMaps), Pods: maps.Clone(c.snapshot.Pods),
	}
	for _, document := range documents {
		if strings.HasPrefix(document, "kind: EndpointSlice") {
			next.EndpointSlices.Set(object.Key{Namespace: "demo", Name: "web"}, nil)
		}
		if err := add(next, document); err != nil {
			c.t.Fatal(err)
		}
	}
	c.snapshot = next
	got := c.resolver.Resolve(next, c.at)
	if difference := compareTables(got, resolve.New(c.options).Resolve(next, c.at)); difference != "" {
		c.t.Fatal(difference)
	}
	return got
}

const (
	shop = `kind: Ingress
metadata: {name: shop, uid: a, resourceVersion: "%s", generation: 1}
spec: {rules: [{host: shop.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}`
	web = `kind: Service
metadata: {name: web, uid: b, resourceVersion: "1"}
spec: {ports: [{port: 80}]}`
	webSlice = `kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [%s]}]`
)

// TestEndpointTurn: a change of endpoints replaces one Backend, and everything else is shared with the Table before.
func TestEndpointTurn(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	first := c.apply(fmt.Sprintf(shop, "1"), web, fmt.Sprintf(webSlice, "10.0.0.1"))
	second := c.apply(fmt.Sprintf(webSlice, "10.0.0.2"))
	if first.Hosts != second.Hosts || first.Certificates != second.Certificates || &first.Ingresses[0] != &second.Ingresses[0] {
		t.Error("hosts, certificates or states were built again")
	}
	if a, b := first.Backends[0].Endpoints[0].Address(), second.Backends[0].Endpoints[0].Address(); a != "10.0.0.1:8080" || b != "10.0.0.2:8080" {
		t.Errorf("the first table says %s, the second %s; want 10.0.0.1:8080 and 10.0.0.2:8080", a, b)
	}
	if second.Generation != first.Generation+1 {
		t.Errorf("generation %d after %d", second.Generation, first.Generation)
	}
}

// TestNothingChanged: a turn in which nothing of meaning changed shares everything, such as after a write to an Ingress's status.
func TestNothingChanged(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	first := c.apply(fmt.Sprintf(shop, "1"), web, fmt.Sprintf(webSlice, "10.0.0.1"))
	second := c.apply(fmt.Sprintf(shop, "2"), fmt.Sprintf(webSlice, "10.0.0.1"))
	if first.Hosts != second.Hosts || first.Backends[0] != second.Backends[0] || &first.Backends[0] != &second.Backends[0] {
		t.Error("hosts or backends were built again")
	}
}

// TestTablesStayAsTheyAre: a Table in use is not written by later turns.
func TestTablesStayAsTheyAre(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	first := c.apply(fmt.Sprintf(shop, "1"), web)
	before := first.String() + fmt.Sprint(first.Diagnostics)
	c.apply(fmt.Sprintf(webSlice, "10.0.0.2"))
	c.apply(strings.Replace(fmt.Sprintf(shop, "2"), "generation: 1", "generation: 2", 1))
	c.snapshot = newSnapshot()
	c.apply(strings.ReplaceAll(fmt.Sprintf(shop, "3"), "shop", "other"))
	if after := first.String() + fmt.Sprint(first.Diagnostics); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
}

// TestPodsExplain: what is said of a Service without endpoints follows its Pods, whether the source tells what changed or not.
func TestPodsExplain(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	const pod = "kind: Pod\nmetadata: {name: web-0, labels: {app: %s}, uid: p, resourceVersion: \"%d\"}"
	table := c.apply(fmt.Sprintf(shop, "1"), strings.Replace(web, "spec: {", "spec: {selector: {app: web}, ", 1))
	if got := table.Backends[0].Reason; got != policy.NoEndpoints {
		t.Errorf("without Pods: %s", got)
	}
	if got := c.apply(fmt.Sprintf(pod, "wbe", 1)).Backends[0]; got.Reason != policy.SelectorMatchesNothing {
		t.Errorf("selected by nothing: %s: %s", got.Reason, got.Detail)
	}
	if got := c.apply(fmt.Sprintf(pod, "web", 2)).Backends[0]; got.Reason != policy.NoReadyEndpoints || !strings.Contains(got.Detail, "web-0") {
		t.Errorf("selected: %s: %s", got.Reason, got.Detail)
	}
	next := *c.snapshot
	next.Pods = nil
	next.Changes = []object.Change{{Kind: object.Pod, Key: object.Key{Namespace: "demo", Name: "web-0"}}}
	if got := c.resolver.Resolve(&next, c.at).Backends[0]; got.Reason != policy.NoEndpoints {
		t.Errorf("without Pods again: %s: %s", got.Reason, got.Detail)
	}
}

// TestDefaultFollowsConfigMap: the route of the controller's own default backend has the controller's settings of today.
func TestDefaultFollowsConfigMap(t *testing.T) {
	c := newTurns(t, resolve.Options{DefaultBackend: object.Key{Namespace: "demo", Name: "web"}, ConfigMap: object.Key{Namespace: "demo", Name: "config"}})
	c.apply(web)
	table := c.apply("kind: ConfigMap\nmetadata: {name: config}\ndata: {proxy-body-size: 2m}")
	if table.Default.Policy != table.Policy || table.Policy.Body.MaxSize != 2<<20 {
		t.Errorf("the default route has settings of its own, or max size %d", table.Policy.Body.MaxSize)
	}
}

// TestWildcardOwner: when somebody claims a wildcard, the names below it that others brought certificates for are theirs no more.
func TestWildcardOwner(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	table := c.apply(`kind: Secret
metadata: {name: mine, namespace: other}
stringData: {certificate: ECDSA shop.example.com}`, `kind: Ingress
metadata: {name: x, namespace: other}
spec: {tls: [{hosts: [shop.example.com], secretName: mine}]}`)
	if len(table.Certificates.Find("shop.example.com")) != 1 {
		t.Fatal("a name nobody has rules for takes no certificate")
	}
	table = c.apply(strings.Replace(fmt.Sprintf(shop, "1"), "shop.example.com", `"*.example.com"`, 1))
	if len(table.Certificates.Find("shop.example.com")) != 0 {
		t.Error("a certificate for a name below another namespace's wildcard is still served")
	}
}

// TestExpiry: a certificate expires without any change of an object.
func TestExpiry(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	table := c.apply(`kind: Secret
metadata: {name: mine}
stringData: {certificate: ECDSA shop.example.com until 2026-06-01}`, `kind: Ingress
metadata: {name: x}
spec: {tls: [{hosts: [shop.example.com], secretName: mine}]}`)
	if len(table.Diagnostics) != 0 {
		t.Fatalf("diagnostics before it expires: %v", table.Diagnostics)
	}
	c.at = time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)
	if table = c.apply(); len(table.Diagnostics) != 1 || table.Diagnostics[0].Reason != policy.CertificateExpired {
		t.Errorf("diagnostics after it expired: %v", table.Diagnostics)
	}
	c.at = now
	if table = c.apply(); len(table.Diagnostics) != 0 {
		t.Errorf("diagnostics after the clock was set back: %v", table.Diagnostics)
	}
}

// TestProblems: inputs that could not be read become Diagnostics, and leave when they can.
func TestProblems(t *testing.T) {
	r := resolve.New(resolve.Options{})
	s := &object.Snapshot{Problems: []object.Problem{{Where: "shop.yaml:12", Message: "mapping values are not allowed here"}}}
	table := r.Resolve(s, now)
	want := "error bad-input Input shop.yaml line 12: mapping values are not allowed here; this input is not used"
	if len(table.Diagnostics) != 1 || table.Diagnostics[0].String() != want {
		t.Errorf("got %v, want %s", table.Diagnostics, want)
	}
	if table = r.Resolve(&object.Snapshot{}, now); len(table.Diagnostics) != 0 {
		t.Errorf("got %v after the input was corrected", table.Diagnostics)
	}
}

// A port that could not be listened on is told at the entry that wants it.
func TestPortProblem(t *testing.T) {
	r := resolve.New(resolve.Options{TCPServices: object.Key{Namespace: "usher", Name: "tcp"}})
	s := &object.Snapshot{
		ConfigMaps: map[object.Key]*corev1.ConfigMap{{Namespace: "usher", Name: "tcp"}: {}},
		Problems:   []object.Problem{{Port: 5432, Message: "address already in use"}},
	}
	want := `error port-unavailable ConfigMap usher/tcp data["5432"]: port 5432 cannot be listened on: address already in use; connections to it are refused; it is tried again`
	if table := r.Resolve(s, now); len(table.Diagnostics) != 1 || table.Diagnostics[0].String() != want {
		t.Errorf("got %v, want %s", table.Diagnostics, want)
	}
}

// TestStates: every Ingress is accounted for, ours or not.
func TestStates(t *testing.T) {
	c := newTurns(t, resolve.Options{})
	table := c.apply(fmt.Sprintf(shop, "1"), "kind: Ingress\nmetadata: {name: a, namespace: z}\nspec: {ingressClassName: nginx, rules: [{host: A.example.com}]}")
	want := "[{Ingress demo/shop a true  []} {Ingress z/a  false nginx [a.example.com]}]"
	if got := fmt.Sprint(table.Ingresses); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
