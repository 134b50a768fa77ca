package source

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

func ingress(name string, secrets ...string) *networkingv1.Ingress {
	o := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
	for _, s := range secrets {
		o.Spec.TLS = append(o.Spec.TLS, networkingv1.IngressTLS{SecretName: s})
	}
	return o
}

func secret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"tls.crt": []byte(name)}}
}

func slice(name, service string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
	}
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// running is a Cluster that runs over a fake API server.
type running struct {
	t       *testing.T
	cluster *Cluster
	client  *fake.Clientset
	refused bool // some lists fail, and have no watch
}

func runCluster(t *testing.T, client *fake.Clientset, o ClusterOptions) *running {
	t.Helper()
	o.Client = client
	if o.Ask == nil {
		o.Ask = func(context.Context) error { return nil }
	}
	r := &running{t: t, cluster: NewCluster(o), client: client}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.cluster.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) next(satisfies func(*object.Snapshot) bool) *object.Snapshot {
	r.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case <-r.cluster.Changed():
			if s, ok := r.cluster.Snapshot(); ok && satisfies(s) {
				r.watching()
				return s
			}
		case <-timeout:
			r.t.Fatal("no such Snapshot came")
		}
	}
}

// watching returns when each list is followed by its watch: the fake API server forgets what happens in between.
func (r *running) watching() {
	r.t.Helper()
	for range 2000 {
		if r.refused {
			return
		}
		open := 0
		for _, a := range r.client.Actions() {
			switch a.GetVerb() {
			case "list":
				open++
			case "watch":
				open--
			}
		}
		if open <= 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatal("a list without its watch")
}

func (r *running) must(_ any, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func any1(*object.Snapshot) bool { return true }

func demo(name string) object.Key { return object.Key{Namespace: "demo", Name: name} }

func TestClusterFirstSnapshotIsFull(t *testing.T) {
	managed := ingress("a")
	managed.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	managed.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "keep": "this"}
	r := runCluster(t, fake.NewClientset(managed, slice("a-1", "a"), slice("a-2", "a"), secret("demo", "tls"),
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "a"}},
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "usher"}}), ClusterOptions{})
	s := r.next(any1)
	if len(s.Ingresses) != 1 || len(s.IngressClasses) != 1 || len(s.Services) != 1 || len(s.EndpointSlices.Of(demo("a"))) != 2 || len(s.Secrets) != 1 {
		t.Errorf("read %+v", s)
	}
	if got := s.Ingresses[demo("a")]; got.ManagedFields != nil || len(got.Annotations) != 1 {
		t.Errorf("not trimmed: %v", got)
	}
	if s.Changes != nil || !r.cluster.Connected() || time.Since(r.cluster.LastContact()) > time.Minute {
		t.Errorf("changes %v, connected %v, last contact %v", s.Changes, r.cluster.Connected(), r.cluster.LastContact())
	}
}

func TestClusterChanges(t *testing.T) {
	r := runCluster(t, fake.NewClientset(ingress("a"), slice("a-1", "a")), ClusterOptions{})
	first := r.next(any1)
	trigger := time.Now().Add(-time.Second).UTC().Truncate(time.Millisecond)
	next := slice("a-2", "a")
	next.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: trigger.Format(time.RFC3339Nano)}
	r.must(r.client.DiscoveryV1().EndpointSlices("demo").Create(t.Context(), next, metav1.CreateOptions{}))
	s := r.next(any1)
	if !slices.Equal(s.Changes, []object.Change{{Kind: object.EndpointSlice, Key: demo("a")}}) || !s.Since.Equal(trigger) {
		t.Errorf("changes %v since %v, want since %v", s.Changes, s.Since, trigger)
	}
	if len(first.EndpointSlices.Of(demo("a"))) != 1 || len(s.EndpointSlices.Of(demo("a"))) != 2 {
		t.Error("a Snapshot that was given away changed")
	}
	if &first.Ingresses == &s.Ingresses || len(s.Ingresses) != 1 {
		t.Error("the Ingresses are gone")
	}
	r.must(nil, r.client.NetworkingV1().Ingresses("demo").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	s = r.next(any1)
	if !slices.Equal(s.Changes, []object.Change{{Kind: object.Ingress, Key: demo("a")}}) || len(s.Ingresses) != 0 || len(first.Ingresses) != 1 {
		t.Errorf("changes %v, %d Ingresses, the first Snapshot has %d", s.Changes, len(s.Ingresses), len(first.Ingresses))
	}
}

func TestClusterStatusIsNoChange(t *testing.T) {
	r := runCluster(t, fake.NewClientset(ingress("a")), ClusterOptions{})
	r.next(any1)
	o := ingress("a")
	o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}}
	r.must(r.client.NetworkingV1().Ingresses("demo").UpdateStatus(t.Context(), o, metav1.UpdateOptions{}))
	r.must(r.client.NetworkingV1().Ingresses("demo").Create(t.Context(), ingress("b"), metav1.CreateOptions{}))
	if s := r.next(any1); !slices.Equal(s.Changes, []object.Change{{Kind: object.Ingress, Key: demo("b")}}) {
		t.Errorf("changes %v", s.Changes)
	}
	if got, _ := r.cluster.IngressStatus(demo("a")); len(got.Ingress) != 1 {
		t.Errorf("status %v", got)
	}
}

func TestClusterSecretsByName(t *testing.T) {
	client := fake.NewClientset(ingress("a", "one"), secret("demo", "one"), secret("demo", "two"), secret("demo", "other"), secret("kube", "default"))
	r := runCluster(t, client, ClusterOptions{SecretsByName: true, Secrets: []object.Key{{Namespace: "kube", Name: "default"}}})
	s := r.next(any1)
	if len(s.Secrets) != 2 || s.Secrets[demo("one")] == nil {
		t.Errorf("the first Snapshot has %v", s.Secrets)
	}
	r.must(client.NetworkingV1().Ingresses("demo").Update(t.Context(), ingress("a", "two"), metav1.UpdateOptions{}))
	s = r.next(func(s *object.Snapshot) bool { return s.Secrets[demo("two")] != nil })
	if s.Secrets[demo("one")] != nil {
		t.Error("a Secret that nobody refers to any more stays")
	}
	renewed := secret("demo", "two")
	renewed.Data["tls.crt"] = []byte("renewed")
	r.must(client.CoreV1().Secrets("demo").Update(t.Context(), renewed, metav1.UpdateOptions{}))
	r.next(func(s *object.Snapshot) bool { return string(s.Secrets[demo("two")].Data["tls.crt"]) == "renewed" })
	r.must(nil, client.NetworkingV1().Ingresses("demo").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	r.next(func(s *object.Snapshot) bool { return len(s.Secrets) == 1 })
	for _, a := range client.Actions() {
		if l, ok := a.(ktesting.ListAction); ok && a.GetResource().Resource == "secrets" && l.GetListRestrictions().Fields.Empty() {
			t.Error("it listed all Secrets")
		}
	}
}

func TestClusterConfigMapsOnlyByName(t *testing.T) {
	ns, class := "demo", &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "usher"}}
	class.Spec.Parameters = &networkingv1.IngressClassParametersReference{Kind: "ConfigMap", Name: "class", Namespace: &ns}
	configMap := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
	}
	r := runCluster(t, fake.NewClientset(class, configMap("class"), configMap("usher"), configMap("other")), ClusterOptions{ConfigMaps: []object.Key{demo("usher")}})
	s := r.next(any1)
	if len(s.ConfigMaps) != 2 || s.ConfigMaps[demo("other")] != nil {
		t.Errorf("read %v", s.ConfigMaps)
	}
}

func TestClusterNamespaceSelector(t *testing.T) {
	selector, _ := labels.Parse("team=web")
	r := runCluster(t, fake.NewClientset(ingress("a"), namespace("demo", nil)), ClusterOptions{NamespaceSelector: selector})
	if s := r.next(any1); len(s.Ingresses) != 0 {
		t.Error("an Ingress of a namespace that does not match")
	}
	r.must(r.client.CoreV1().Namespaces().Update(t.Context(), namespace("demo", map[string]string{"team": "web"}), metav1.UpdateOptions{}))
	r.next(func(s *object.Snapshot) bool { return len(s.Ingresses) == 1 })
	r.must(r.client.CoreV1().Namespaces().Update(t.Context(), namespace("demo", nil), metav1.UpdateOptions{}))
	r.next(func(s *object.Snapshot) bool { return len(s.Ingresses) == 0 })
}

// TestClusterIngressSelector: the API server is asked for the Ingresses that match, and for all of the rest.
func TestClusterIngressSelector(t *testing.T) {
	selector, _ := labels.Parse("team=web,tier!=internal")
	mine, other := ingress("mine"), ingress("other")
	mine.Labels = map[string]string{"team": "web"}
	other.Labels = map[string]string{"team": "web", "tier": "internal"}
	r := runCluster(t, fake.NewClientset(mine, other, ingress("bare"), secret("demo", "tls")), ClusterOptions{IngressSelector: selector})
	if s := r.next(any1); len(s.Ingresses) != 1 || s.Ingresses[demo("mine")] == nil || len(s.Secrets) != 1 {
		t.Errorf("Ingresses %v and %d Secrets, want mine and one", s.Ingresses, len(s.Secrets))
	}
}

// TestClusterSeesNamespacesEnd: what is about to go is known before it is gone, in every cluster-wide mode.
func TestClusterSeesNamespacesEnd(t *testing.T) {
	r := runCluster(t, fake.NewClientset(ingress("a"), namespace("demo", nil)), ClusterOptions{})
	if s := r.next(any1); s.Namespaces["demo"] == nil || s.Namespaces["demo"].DeletionTimestamp != nil {
		t.Fatalf("namespaces %v", s.Namespaces)
	}
	ending := namespace("demo", nil)
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	r.must(r.client.CoreV1().Namespaces().Update(t.Context(), ending, metav1.UpdateOptions{}))
	s := r.next(func(s *object.Snapshot) bool { return s.Namespaces["demo"].DeletionTimestamp != nil })
	if want := (object.Change{Kind: object.Namespace, Key: object.Key{Name: "demo"}}); !slices.Contains(s.Changes, want) {
		t.Fatalf("changes %v, want %v among them", s.Changes, want)
	}
}

func TestClusterOneNamespaceAndServicesOutside(t *testing.T) {
	svc := func(ns, name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	}
	far := slice("errors-1", "errors")
	far.Namespace = "kube"
	elsewhere := ingress("b")
	elsewhere.Namespace = "kube"
	r := runCluster(t, fake.NewClientset(ingress("a"), elsewhere, svc("demo", "a"), svc("kube", "errors"), svc("kube", "other"), far),
		ClusterOptions{Namespace: "demo", Services: []object.Key{{Namespace: "kube", Name: "errors"}}})
	s := r.next(any1)
	if len(s.Ingresses) != 1 || len(s.Services) != 2 || len(s.EndpointSlices.Of(object.Key{Namespace: "kube", Name: "errors"})) != 1 {
		t.Errorf("read %v %v %v", s.Ingresses, s.Services, s.EndpointSlices)
	}
}

// observer counts.
type observer struct {
	mu      sync.Mutex
	errors  map[string]int
	refused map[string]int
	told    chan bool
}

func newObserver() *observer {
	return &observer{errors: map[string]int{}, refused: map[string]int{}, told: make(chan bool, 100)}
}

func (o *observer) APIServerConnected(yes bool) { o.told <- yes }

func (o *observer) refusals(kind string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused[kind]
}

func (o *observer) APIServerRefused(kind string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused[kind] = n
}

func (o *observer) APIServerError(kind string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errors[kind]++
}

// outage makes every call fail while it is on.
type outage struct {
	mu sync.Mutex
	on error
}

func (o *outage) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on = err
}

func (o *outage) get() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.on
}

func (o *outage) over(client *fake.Clientset, resource string) {
	client.PrependReactor("list", resource, func(ktesting.Action) (bool, runtime.Object, error) {
		err := o.get()
		return err != nil, nil, err
	})
}

func TestClusterOutage(t *testing.T) {
	client := fake.NewClientset(ingress("a"))
	watcher := watch.NewFake()
	down := &outage{}
	down.over(client, "ingresses")
	client.PrependWatchReactor("ingresses", func(ktesting.Action) (bool, watch.Interface, error) {
		if err := down.get(); err != nil {
			return true, nil, err
		}
		return watcher != nil, watcher, nil
	})
	o := newObserver()
	r := runCluster(t, client, ClusterOptions{Observer: o})
	r.next(any1)
	if !<-o.told {
		t.Error("not connected")
	}
	down.set(apierrors.NewInternalError(context.DeadlineExceeded))
	watcher.Stop()
	if <-o.told || r.cluster.Connected() {
		t.Error("connected while the API server fails")
	}
	if s, ok := r.cluster.Snapshot(); !ok || len(s.Ingresses) != 1 {
		t.Error("the objects are gone with the API server")
	}
	watcher = watch.NewFake()
	down.set(nil)
	if !<-o.told {
		t.Error("not connected again")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.errors["Ingress"] == 0 {
		t.Errorf("errors %v", o.errors)
	}
}

func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
}

func TestClusterWithoutClassesAndWithoutOneSecret(t *testing.T) {
	client := fake.NewClientset(ingress("a", "one"))
	for _, resource := range []string{"ingressclasses", "secrets"} {
		down := &outage{on: forbidden(resource)}
		down.over(client, resource)
	}
	r := runCluster(t, client, ClusterOptions{SecretsByName: true})
	r.refused = true
	if s := r.next(any1); len(s.Ingresses) != 1 || !r.cluster.Connected() {
		t.Errorf("read %v, connected %v", s.Ingresses, r.cluster.Connected())
	}
}

func TestReadCluster(t *testing.T) {
	client := fake.NewClientset(ingress("a"))
	s, err := ReadCluster(t.Context(), ClusterOptions{Client: client})
	if err != nil || len(s.Ingresses) != 1 {
		t.Errorf("read %v, error %v", s, err)
	}
	down := &outage{on: forbidden("services")}
	down.over(client, "services")
	if _, err := ReadCluster(t.Context(), ClusterOptions{Client: client}); !apierrors.IsForbidden(err) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadCluster(ctx, ClusterOptions{Client: client}); err == nil {
		t.Error("no error after the end")
	}
}

// TestReadClusterPods: Pods are read where that is asked for, trimmed, and done without where it is forbidden.
func TestReadClusterPods(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web-0", Labels: map[string]string{"app": "web"}}}
	pod.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	client := fake.NewClientset(pod)
	for _, asked := range []bool{false, true} {
		s, err := ReadCluster(t.Context(), ClusterOptions{Client: client, Pods: asked})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Pods[demo("web-0")]; (got != nil) != asked || got != nil && (got.Labels["app"] != "web" || got.Spec.Containers[0].Image != "") {
			t.Errorf("asked %v: %+v", asked, got)
		}
	}
	down := &outage{on: forbidden("pods")}
	down.over(client, "pods")
	if s, err := ReadCluster(t.Context(), ClusterOptions{Client: client, Pods: true, Ask: func(context.Context) error { return nil }}); err != nil || len(s.Pods) != 0 {
		t.Errorf("forbidden: %v", err)
	}
}

// TestClusterSecretsByNameAreBounded: only those of our Ingresses are read, as classes come and go, and at most maxSecrets of each.
func TestClusterSecretsByNameAreBounded(t *testing.T) {
	names := make([]string, 3000)
	for i := range names {
		names[i] = fmt.Sprintf("tls-%04d", i)
	}
	ours, foreign := ingress("a", names...), ingress("b", "foreign")
	own := "usher"
	ours.Spec.IngressClassName = &own
	class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: own}}
	client := fake.NewClientset(ours, foreign, class, secret("demo", names[0]), secret("demo", names[maxSecrets]), secret("demo", "foreign"))
	r := runCluster(t, client, ClusterOptions{SecretsByName: true, Claims: func(o *networkingv1.Ingress, known map[string]*networkingv1.IngressClass) bool {
		return o.Spec.IngressClassName != nil && known[*o.Spec.IngressClassName] != nil
	}})
	watched := func() (n int) {
		r.cluster.mu.Lock()
		defer r.cluster.mu.Unlock()
		return len(r.cluster.named)
	}
	s := r.next(any1)
	if len(s.Secrets) != 1 || watched() != maxSecrets {
		t.Errorf("%d Secrets by %d watches", len(s.Secrets), watched())
	}
	if why := s.Absent(object.Secret, demo(names[maxSecrets])); !strings.Contains(why, "the first 100 are") {
		t.Errorf("beyond the bound: %q", why)
	}
	r.must(nil, client.NetworkingV1().IngressClasses().Delete(t.Context(), own, metav1.DeleteOptions{}))
	if s = r.next(func(s *object.Snapshot) bool { return len(s.IngressClasses) == 0 }); watched() != 0 || len(s.Unread) != 0 {
		t.Errorf("%d watches and %d left unread for Ingresses of nobody", watched(), len(s.Unread))
	}
}
