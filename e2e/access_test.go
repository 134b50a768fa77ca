//go:build e2e

package e2e

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// TestRoles asks the API server what an account with the shipped roles may do.
// That they suffice every other test shows: see usher.isPermitted.
func TestRoles(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "roles.example", "/", "web")
	client := s.asUsher()

	ingress := s.get("web")
	ingress.Spec.Rules[0].Host = "taken-over.example"
	ingresses := client.NetworkingV1().Ingresses(s.namespace)
	if _, err := ingresses.Update(t.Context(), ingress, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("changing the spec of an Ingress: %v, want forbidden", err)
	}

	for _, c := range []struct {
		verb, group, resource, namespace, name string
		may                                    bool
	}{
		{"watch", "networking.k8s.io", "ingresses", "", "", true},
		{"watch", "networking.k8s.io", "ingressclasses", "", "", true},
		{"watch", "discovery.k8s.io", "endpointslices", "", "", true},
		{"watch", "", "secrets", "", "", true},
		{"update", "networking.k8s.io", "ingresses/status", s.namespace, "web", true},
		{"create", "", "events", s.namespace, "", true},
		{"update", "coordination.k8s.io", "leases", s.system, "usher-leader", true},
		{"update", "", "secrets", s.system, "usher-session-tickets", true},

		{"update", "coordination.k8s.io", "leases", s.system, "another", false},
		{"get", "coordination.k8s.io", "leases", "kube-system", "usher-leader", false},
		{"delete", "coordination.k8s.io", "leases", s.system, "usher-leader", false},
		{"create", "networking.k8s.io", "ingresses", s.namespace, "", false},
		{"patch", "networking.k8s.io", "ingresses", s.namespace, "web", false},
		{"delete", "networking.k8s.io", "ingresses", s.namespace, "web", false},
		{"update", "networking.k8s.io", "ingressclasses", "", s.class, false},
		{"create", "", "secrets", s.namespace, "", false},
		{"update", "", "secrets", s.namespace, "x", false},
		{"update", "", "secrets", s.system, "x", false},
		{"delete", "", "secrets", s.system, "usher-session-tickets", false},
		{"update", "", "services", s.namespace, "web", false},
		{"update", "", "services/status", s.namespace, "web", false},
		{"list", "", "pods", s.namespace, "", false},
		{"create", "", "pods/exec", s.namespace, "", false},
		{"list", "", "nodes", "", "", false},
		{"create", "", "serviceaccounts/token", s.system, "usher", false},
		{"bind", "rbac.authorization.k8s.io", "clusterroles", "", "", false},
	} {
		if got := s.allowed(client, c.verb, c.group, c.resource, c.namespace, c.name); got != c.may {
			t.Errorf("%s %s/%s %s in %q: %v, want %v", c.verb, c.group, c.resource, c.name, c.namespace, got, c.may)
		}
	}
}

// TestOneNamespace runs Usher with the roles for --watch-namespace.
func TestOneNamespace(t *testing.T) {
	s := emptyScene(t)
	s.account(
		cluster.Grant{File: shipped + "clusterrole-classes.yaml"},
		cluster.Grant{File: shipped + "role-namespace.yaml", Namespace: s.namespace},
		cluster.Grant{File: shipped + "role-own-namespace.yaml", Namespace: s.system},
		cluster.Grant{File: shipped + "role-leader-election.yaml", Namespace: s.system},
		cluster.Grant{File: shipped + "role-session-tickets.yaml", Namespace: s.system})
	s.backend("web")
	other := *s
	other.namespace = "onenamespace-other"
	s.makeNamespace(other.namespace)
	other.backend("elsewhere")
	other.route("elsewhere", "elsewhere.example", "/", "elsewhere")
	s.route("web", "one.example", "/", "web")

	s.apply(`
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: $system}, data: {hsts: "false"}}
---
{apiVersion: v1, kind: Service, metadata: {name: usher, namespace: $system}, spec: {type: LoadBalancer, ports: [{name: http, port: 80}]}}
`)
	s.balance(corev1.LoadBalancerIngress{IP: "198.18.0.15"})

	u := s.usher("--watch-namespace", s.namespace, "--publish-service", s.system+"/usher", "--configmap", s.system+"/settings")
	u.expect("http://one.example/", "web")
	u.expect("http://elsewhere.example/", "404 no-host")
	s.awaitStatus("web", "198.18.0.15")

	client := s.asUsher()
	if s.allowed(client, "get", "", "secrets", other.namespace, "x") {
		t.Error("may read another namespace's Secrets")
	}
	if s.allowed(client, "list", "", "secrets", "", "") {
		t.Error("may list all Secrets")
	}
}

// asUsher is a client with Usher's own token.
func (s *scene) asUsher() kubernetes.Interface {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// allowed asks the API server whether the client's user may do something; the
// resource may name a subresource, "ingresses/status".
func (s *scene) allowed(client kubernetes.Interface, verb, group, resource, namespace, name string) bool {
	s.t.Helper()
	resource, subresource := cutSlash(resource)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: group, Resource: resource, Subresource: subresource, Namespace: namespace, Name: name,
		},
	}}
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(s.t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return review.Status.Allowed
}
