//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestStatusAddresses(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("before", "status.example", "/before", "web")
	u := s.usher("--publish-status-address", "198.18.0.7,lb.example")
	s.awaitStatus("before", "lb.example 198.18.0.7")

	// What is right already is not written again, whatever else changes.
	version := s.get("before").ResourceVersion
	s.route("after", "status.example", "/after", "web")
	s.awaitStatus("after", "lb.example 198.18.0.7")
	if got := s.get("before").ResourceVersion; got != version {
		t.Error("status was written again though it was right")
	}
	u.awaitMetric("usher_leader", 1)
}

func TestStatusOfService(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.apply(`{apiVersion: v1, kind: Service, metadata: {name: usher, namespace: $system}, spec: {type: LoadBalancer, ports: [{name: http, port: 80}]}}`)
	s.route("web", "publish.example", "/", "web")
	s.usher("--publish-service", s.system+"/usher")

	s.balance(corev1.LoadBalancerIngress{IP: "198.18.0.8"})
	s.awaitStatus("web", "198.18.0.8")
	s.balance(corev1.LoadBalancerIngress{Hostname: "lb.publish.example"})
	s.awaitStatus("web", "lb.publish.example")
}

// TestStatusStays ends Usher: the addresses are load balancers', which outlive it.
func TestStatusStays(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "stays.example", "/", "web")
	u := s.start("--publish-status-address", "198.18.0.9")
	s.awaitStatus("web", "198.18.0.9")
	if err := u.stop(); err != nil {
		t.Error(err)
	}
	if got := published(s.get("web")); got != "198.18.0.9" {
		t.Errorf("after the end of Usher the status is %q", got)
	}
}

// TestShadow runs Usher beside another controller: it serves and writes nothing.
func TestShadow(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "shadow.example", "/", "web")
	s.route("broken", "shadow.example", "/broken", "missing")
	u := s.usher("--publish-status-address", "198.18.0.10", "--update-status=false")
	u.expect("http://shadow.example/", "web")

	// A second replica, which may write, shows that there was something to.
	s.route("later", "shadow.example", "/later", "web")
	u.expect("http://shadow.example/later", "web")
	if got := published(s.get("web")); got != "" {
		t.Errorf("the shadow has written status %q", got)
	}
	_, err := s.client.CoordinationV1().Leases(s.system).Get(t.Context(), "usher-leader", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the shadow stands for election: %v", err)
	}
	if events := s.events("broken"); len(events) > 0 {
		t.Errorf("the shadow has written Events: %v", events)
	}
	s.usher("--publish-status-address", "198.18.0.10")
	s.awaitStatus("web", "198.18.0.10")
}

func TestEvents(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("fine", "events.example", "/", "web")
	s.route("broken", "events.example", "/broken", "missing")
	s.usher("--publish-status-address", "198.18.0.11")
	await(t, func() error {
		for _, e := range s.events("broken") {
			if e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, "missing") {
				return nil
			}
		}
		return fmt.Errorf("Events of the broken Ingress: %v", s.events("broken"))
	})

	// Another change does not say it again.
	s.ingress("broken", `rules: [{host: events.example, http: {paths: [{path: /broken, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}]}}]`, "example.com/touched: indeed")
	s.route("last", "events.example", "/last", "missing")
	await(t, func() error {
		if len(s.events("last")) == 0 {
			return fmt.Errorf("no Event of the last Ingress")
		}
		return nil
	})
	if events := s.events("broken"); len(events) != 1 {
		t.Errorf("%d Events of the broken Ingress, want 1: %v", len(events), events)
	}
	if events := s.events("fine"); len(events) != 0 {
		t.Errorf("Events of an Ingress that is fine: %v", events)
	}
}

func (s *scene) get(ingress string) *networkingv1.Ingress {
	s.t.Helper()
	object, err := s.client.NetworkingV1().Ingresses(s.namespace).Get(s.t.Context(), ingress, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// events returns the Events about an Ingress.
func (s *scene) events(ingress string) []corev1.Event {
	s.t.Helper()
	list, err := s.client.CoreV1().Events(s.namespace).List(s.t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Ingress,involvedObject.name=" + ingress,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// balance is what a cloud's controller does with the Service of Usher.
func (s *scene) balance(to corev1.LoadBalancerIngress) {
	s.t.Helper()
	services := s.client.CoreV1().Services(s.system)
	service, err := services.Get(s.t.Context(), "usher", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{to}
	if _, err := services.UpdateStatus(s.t.Context(), service, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// awaitStatus waits until the Ingress has the addresses, separated by spaces.
func (s *scene) awaitStatus(ingress, want string) {
	s.t.Helper()
	await(s.t, func() error {
		if got := published(s.get(ingress)); got != want {
			return fmt.Errorf("status of %s is %q, want %q", ingress, got, want)
		}
		return nil
	})
}

// published is what the status of an Ingress says.
func published(ingress *networkingv1.Ingress) string {
	var all []string
	for _, a := range ingress.Status.LoadBalancer.Ingress {
		all = append(all, a.IP+a.Hostname)
	}
	return strings.Join(all, " ")
}
