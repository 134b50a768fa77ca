package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ref(name string) policy.Ref {
	return policy.Ref{Kind: "Ingress", Namespace: "demo", Name: name}
}

func ingress(name string) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, UID: types.UID("uid-" + name)}}
}

// table claims Ingresses; one with a "!" before its name is left to others.
func table(names ...string) *route.Table {
	t := &route.Table{}
	for _, n := range names {
		name, others := strings.CutPrefix(n, "!")
		t.Ingresses = append(t.Ingresses, route.IngressState{Object: ref(name), UID: "uid-" + name, Claimed: !others})
	}
	return t
}

func mistaken(reason policy.Reason, severity route.Severity, text string) route.Diagnostic {
	return route.Diagnostic{Severity: severity, Reason: reason, Origin: policy.Origin{Object: ref("a"), Field: "spec.rules[0]"}, Message: text, Effect: "it answers 503"}
}

func withDiagnostics(all ...route.Diagnostic) *route.Table {
	t := table("a")
	t.Diagnostics = all
	return t
}

func options(client *fake.Clientset) Options {
	return Options{Client: client, Update: true, Addresses: []string{"192.0.2.1"}, ElectionID: "usher-leader", Namespace: "usher", Identity: "usher-0"}
}

// run starts a Writer, and returns what ends it and waits until it has.
func run(t *testing.T, o Options) (*Writer, func()) {
	t.Helper()
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return w, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func statusOf(t *testing.T, client *fake.Clientset, name string) string {
	t.Helper()
	o, err := client.NetworkingV1().Ingresses("demo").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range o.Status.LoadBalancer.Ingress {
		out = append(out, i.IP+i.Hostname)
	}
	return strings.Join(out, " ")
}

// writes lists what was written, as "verb resource/subresource name", without the Lease.
func writes(client *fake.Clientset) []string {
	var out []string
	for _, a := range client.Actions() {
		verb := a.GetVerb()
		if verb == "get" || verb == "list" || verb == "watch" || a.GetResource().Resource == "leases" {
			continue
		}
		name := ""
		if p, ok := a.(ktesting.PatchAction); ok {
			name = p.GetName()
		}
		out = append(out, fmt.Sprintf("%s %s %s", verb, strings.Trim(a.GetResource().Resource+"/"+a.GetSubresource(), "/"), name))
	}
	return out
}

func eventsOf(t *testing.T, client *fake.Clientset) []corev1.Event {
	t.Helper()
	list, err := client.CoreV1().Events("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestStatusIsWrittenWhereItDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		right := ingress("right")
		right.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{Hostname: "lb.example"}, {IP: "192.0.2.1"}}
		client := fake.NewClientset(ingress("a"), ingress("others"), right)
		o := options(client)
		o.Addresses = []string{"192.0.2.1", "lb.example", "192.0.2.1"}
		w, stop := run(t, o)
		w.Publish(table("a", "right", "!others", "deleted"))
		wait(2 * time.Minute)
		if got := writes(client); !slices.Equal(got, []string{"patch ingresses/status a"}) {
			t.Errorf("wrote %v", got)
		}
		if got := statusOf(t, client, "a"); got != "lb.example 192.0.2.1" {
			t.Errorf("status %q", got)
		}
		stop()
		if got := statusOf(t, client, "a"); got != "lb.example 192.0.2.1" {
			t.Errorf("status after the end %q", got)
		}
	})
}

func TestStatusChangedByOthersIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		w, stop := run(t, options(client))
		defer stop()
		w.Publish(table("a"))
		wait(2 * time.Second)
		other := ingress("a")
		other.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "198.51.100.1"}}
		if _, err := client.NetworkingV1().Ingresses("demo").UpdateStatus(t.Context(), other, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Minute)
		if got := statusOf(t, client, "a"); got != "192.0.2.1" {
			t.Errorf("status %q", got)
		}
	})
}

func TestStatusFollowsTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := ingress("a")
		before.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "203.0.113.9"}}
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "usher", Name: "usher"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
		client := fake.NewClientset(before, service)
		o := options(client)
		o.Addresses, o.Service = nil, object.Key{Namespace: "usher", Name: "usher"}
		w, stop := run(t, o)
		defer stop()
		w.Publish(table("a"))
		wait(time.Minute)
		if got := statusOf(t, client, "a"); got != "203.0.113.9" {
			t.Errorf("while the load balancer is being made, status %q", got)
		}
		service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}
		if _, err := client.CoreV1().Services("usher").UpdateStatus(t.Context(), service, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		wait(15 * time.Second)
		if got := statusOf(t, client, "a"); got != "192.0.2.7" {
			t.Errorf("status %q", got)
		}
	})
}

func TestAddressesOfAService(t *testing.T) {
	for _, test := range []struct {
		name string
		spec corev1.ServiceSpec
		want string
	}{
		{"load balancer", corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.1", ExternalIPs: []string{"192.0.2.2"}}, "lb.example 192.0.2.1 192.0.2.2"},
		{"cluster IP", corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.0.0.1"}, "10.0.0.1"},
		{"node port", corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.1", ExternalIPs: []string{"192.0.2.2"}}, "192.0.2.2"},
		{"headless", corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "None"}, ""},
		{"name", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "lb.example"}, "lb.example"},
		{"name that is an address", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "192.0.2.1"}, "192.0.2.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &corev1.Service{Spec: test.spec}
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}, {Hostname: "lb.example"}}
			var got []string
			for _, a := range addressesOf(s) {
				got = append(got, a.IP+a.Hostname)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), test.want)
			}
		})
	}
}

func TestBadAddressIsRefused(t *testing.T) {
	if _, err := New(Options{Addresses: []string{"http://lb"}}); err == nil || !strings.Contains(err.Error(), `"http://lb"`) {
		t.Errorf("error %v", err)
	}
}

func TestShadowModeWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		o := options(client)
		o.Update = false
		w, stop := run(t, o)
		w.Publish(withDiagnostics(mistaken(policy.NoService, route.Error, "no such Service")))
		wait(time.Hour)
		stop()
		if len(client.Actions()) != 0 {
			t.Errorf("it did %v", client.Actions())
		}
	})
}

func TestClearOnShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs := ingress("theirs")
		client := fake.NewClientset(ingress("a"), theirs)
		o := options(client)
		o.ClearOnShutdown = true
		w, stop := run(t, o)
		w.Publish(table("a", "!theirs"))
		wait(2 * time.Second)
		if got := statusOf(t, client, "a"); got != "192.0.2.1" {
			t.Errorf("status %q", got)
		}
		stop()
		if got := statusOf(t, client, "a"); got != "" {
			t.Errorf("status after the end %q", got)
		}
	})
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		failures := 3
		client.PrependReactor("patch", "ingresses", func(ktesting.Action) (bool, runtime.Object, error) {
			failures--
			return failures >= 0, nil, errors.New("etcd is busy")
		})
		w, stop := run(t, options(client))
		defer stop()
		w.Publish(table("a"))
		wait(5 * time.Second)
		if got := statusOf(t, client, "a"); got != "192.0.2.1" {
			t.Errorf("status %q", got)
		}
	})
}

func TestOnlyTheLeaderWritesAndHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"), ingress("b"))
		first, stopFirst := run(t, options(client))
		wait(time.Second)
		o := options(client)
		o.Identity, o.Addresses = "usher-1", []string{"192.0.2.2"}
		second, stopSecond := run(t, o)
		defer stopSecond()
		wait(time.Minute)
		if !first.Leader() || second.Leader() {
			t.Fatalf("leaders: first %v, second %v", first.Leader(), second.Leader())
		}
		first.Publish(table("a"))
		second.Publish(table("a"))
		wait(time.Minute)
		if got := statusOf(t, client, "a"); got != "192.0.2.1" {
			t.Errorf("status %q", got)
		}
		stopFirst() // gives the Lease back: the second need not wait for the 15 s
		wait(6 * time.Second)
		if first.Leader() || !second.Leader() {
			t.Errorf("leaders: first %v, second %v", first.Leader(), second.Leader())
		}
		if got := statusOf(t, client, "a"); got != "192.0.2.2" {
			t.Errorf("status %q", got)
		}
	})
}

func TestLosingTheLeaseStopsWritingAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"), ingress("b"))
		var down atomic.Bool
		client.PrependReactor("*", "leases", func(ktesting.Action) (bool, runtime.Object, error) {
			return down.Load(), nil, errors.New("unreachable")
		})
		w, stop := run(t, options(client))
		defer stop()
		w.Publish(table("a"))
		wait(5 * time.Second)
		down.Store(true)
		wait(15 * time.Second)
		if w.Leader() {
			t.Error("still the leader, with a Lease that cannot be renewed")
		}
		w.Publish(table("a", "b"))
		wait(5 * time.Second)
		if got := statusOf(t, client, "b"); got != "" {
			t.Errorf("wrote %q without the Lease", got)
		}
		down.Store(false)
		wait(30 * time.Second)
		if got := statusOf(t, client, "b"); !w.Leader() || got != "192.0.2.1" {
			t.Errorf("leader %v, status %q", w.Leader(), got)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		w, stop := run(t, options(client))
		defer stop()
		service := mistaken(policy.NoService, route.Error, "Service demo/shop does not exist")
		annotation := mistaken(policy.BadAnnotation, route.Warning, `session-cookie-max-age "1h"`)
		target := mistaken(policy.TargetPortMismatch, route.Warning, "targetPort 8000, which no container declares")
		ignored := mistaken(policy.UnsupportedAnnotation, route.Warning, "enable-cors is not supported")
		conflict := mistaken(policy.EmptyRule, route.Warning, "no paths")
		harmless := mistaken(policy.IneffectiveAnnotation, route.Info, "proxy-http-version has no effect")
		w.Publish(withDiagnostics(service, annotation, target, ignored, conflict, harmless))
		wait(10 * time.Second)
		got := eventsOf(t, client)
		var reasons []string
		for _, e := range got {
			reasons = append(reasons, e.Reason)
		}
		slices.Sort(reasons)
		if !slices.Equal(reasons, []string{"AnnotationParsingFailed", "NoService", "TargetPortMismatch", "UnsupportedAnnotation"}) {
			t.Fatalf("reasons %v", reasons)
		}
		e := got[slices.IndexFunc(got, func(e corev1.Event) bool { return e.Reason == "NoService" })]
		if e.Message != "spec.rules[0]: Service demo/shop does not exist; it answers 503" || e.Type != "Warning" || e.InvolvedObject.UID != "uid-a" || e.InvolvedObject.Kind != "Ingress" {
			t.Errorf("event %+v", e)
		}
	})
}

// TestEventsAreTold once, again after an hour, and again when a mistake was mended and came back.
func TestEventsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		o := options(client)
		o.Lease = 4 * time.Hour // few renewals, which the fake API server makes slow
		w, stop := run(t, o)
		defer stop()
		bad := func() *route.Table {
			return withDiagnostics(mistaken(policy.NoService, route.Error, "gone"), mistaken(policy.NoService, route.Error, "gone"))
		}
		told := func() (n int) { // an Event that exists is not created, but its time renewed: two writes
			for _, a := range writes(client) {
				if strings.Contains(a, "events") {
					n++
				}
			}
			return n
		}
		w.Publish(bad())
		wait(2 * time.Second)
		w.Publish(table("a")) // gone before it had stood for a while
		wait(10 * time.Second)
		if told() != 0 {
			t.Error("told of a mistake that did not stand")
		}
		for range 5 {
			w.Publish(bad())
			wait(10 * time.Second)
		}
		if n := told(); n != 1 {
			t.Errorf("told %d times", n)
		}
		wait(time.Hour)
		if n := told(); n != 3 { // create is refused, the time is renewed
			t.Errorf("after an hour told %d times", n)
		}
		w.Publish(table("a"))
		wait(time.Minute)
		w.Publish(bad())
		wait(time.Minute)
		if n := told(); n != 5 || len(eventsOf(t, client)) != 1 {
			t.Errorf("after it came back told %d times, %d events", n, len(eventsOf(t, client)))
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		o := options(client)
		o.Lease = 4 * time.Hour // few renewals, which the fake API server makes slow
		w, stop := run(t, o)
		defer stop()
		var all []route.Diagnostic
		for i := range 300 {
			all = append(all, mistaken(policy.NoService, route.Error, fmt.Sprint("Service ", i)))
		}
		w.Publish(withDiagnostics(all...))
		wait(10 * time.Second)
		if n := len(eventsOf(t, client)); n < 100 || n > 160 {
			t.Errorf("%d events in ten seconds", n)
		}
		wait(time.Minute)
		if n := len(eventsOf(t, client)); n != 300 {
			t.Errorf("%d events in the end", n)
		}
	})
}

// TestSharedHostsAreToldInPart: other namespaces do not make thousands of Events for one Ingress.
func TestSharedHostsAreToldInPart(t *testing.T) {
	var all []route.Diagnostic
	for i := range 300 {
		all = append(all, mistaken(policy.HostShared, route.Warning, fmt.Sprint("host ", i)), mistaken(policy.HostNotOwned, route.Info, fmt.Sprint("host ", i)))
	}
	if n := len(mistakes(withDiagnostics(all...))); n != eventsOfHosts {
		t.Errorf("%d events, want %d", n, eventsOfHosts)
	}
	alone := mistakes(withDiagnostics(mistaken(policy.HostNotOwned, route.Error, "refused"), mistaken(policy.HostShared, route.Warning, "told")))
	if len(alone) != 2 {
		t.Errorf("%d events, want one for each side", len(alone))
	}
}

func TestLongMessageIsCut(t *testing.T) {
	d := mistaken(policy.NoService, route.Error, strings.Repeat("é", 2000))
	if m := message(d); len(m) > 1024 || !strings.HasSuffix(m, "...") {
		t.Errorf("%d bytes", len(m))
	}
}

// TestEventNames: what is cut from a long name leaves a name.
func TestEventNames(t *testing.T) {
	for name, want := range map[string]string{
		"shop":                            "shop.",
		strings.Repeat("a", 199) + "-b":   strings.Repeat("a", 199) + ".",
		strings.Repeat("a", 198) + ".b.c": strings.Repeat("a", 198) + ".b.",
		strings.Repeat("a", 199) + ".b":   strings.Repeat("a", 199) + ".",
	} {
		got := new(Writer).event(mistake{object: ref(name)}).Name
		if prefix := got[:len(got)-16]; prefix != want || len(validation.IsDNS1123Subdomain(got)) > 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDeletedIngressIsForgotten, or a leader would keep every Ingress there ever was.
func TestDeletedIngressIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"), ingress("b"))
		w, err := New(options(client))
		if err != nil {
			t.Fatal(err)
		}
		b := newAddressWriter(w)
		defer b.stop()
		b.follow(t.Context(), table("a", "b"))
		wait(time.Second)
		if len(b.written) != 2 {
			t.Fatalf("%d written", len(b.written))
		}
		b.follow(t.Context(), table("b"))
		wait(time.Second)
		if len(b.written) != 1 {
			t.Errorf("%d remembered", len(b.written))
		}
	})
}

func TestReasons(t *testing.T) {
	for _, r := range policy.Reasons() {
		if name := eventReason(r.Reason); name == "" || strings.ContainsAny(name, "- ") || len(name) > 128 {
			t.Errorf("%s: event reason %q", r.Reason, name)
		}
	}
}

func TestAnotherObjectOfThatNameIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(ingress("a"))
		client.PrependReactor("patch", "ingresses", func(ktesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewConflict(networkingv1.Resource("ingresses"), "a", errors.New("UID differs"))
		})
		w, stop := run(t, options(client))
		defer stop()
		w.Publish(table("a"))
		wait(50 * time.Second)
		if got := writes(client); len(got) != 1 {
			t.Errorf("wrote %v", got)
		}
	})
}
