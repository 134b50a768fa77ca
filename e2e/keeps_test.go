//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// TestLastGoodPair: a Secret replaced by one whose key does not match keeps the last good pair serving, with an Event that says so; a
// good one takes its place.
func TestLastGoodPair(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	authority, err := cluster.NewAuthority("keeps")
	if err != nil {
		t.Fatal(err)
	}
	first, second := newPair(t, authority, "keeps.example"), newPair(t, authority, "keeps.example")
	s.secret("pair", first)
	s.ingress("tls", `
tls: [{hosts: [keeps.example], secretName: pair}]
rules: [{host: keeps.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]`)
	u := s.usher("--publish-status-address", "198.18.0.30")
	serial := func() string {
		return fmt.Sprint(u.expect("https://keeps.example/", "web").TLS.PeerCertificates[0].SerialNumber)
	}
	trusting := u.newClient(&tls.Config{RootCAs: authority.Pool()})
	await(t, func() error { return answers(trusting, "https://keeps.example/", "web") })
	before := serial()

	s.secret("pair", cluster.KeyPair{Cert: second.Cert, Key: first.Key})
	await(t, func() error {
		for _, e := range s.events("tls") {
			if e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, "pair") {
				return nil
			}
		}
		return fmt.Errorf("no Event about the Secret: %v", s.events("tls"))
	})
	trusting.CloseIdleConnections()
	u.client.CloseIdleConnections()
	if err := answers(trusting, "https://keeps.example/", "web"); err != nil {
		t.Error(err)
	}
	if got := serial(); got != before {
		t.Errorf("serial %s after a pair that does not match, want the one before, %s", got, before)
	}

	s.secret("pair", second)
	await(t, func() error {
		u.client.CloseIdleConnections()
		if got := serial(); got == before {
			return fmt.Errorf("still the old pair")
		}
		return nil
	})
}

// TestTerminatingNamespaceLosesHosts: the Ingresses of a namespace that is being deleted, which may stay for long, give way to another
// namespace's for the same host and path, although they are older.
func TestTerminatingNamespaceLosesHosts(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "moves.example", "/", "web")
	awaitNextSecond()
	next := *s
	next.namespace = s.namespace + "-next"
	next.makeNamespace(next.namespace)
	next.backend("next")
	next.route("next", "moves.example", "/", "next")
	u := s.usher()
	u.expect("http://moves.example/", "web")
	background := metav1.DeletePropagationBackground
	if err := s.client.CoreV1().Namespaces().Delete(t.Context(), s.namespace, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	u.expect("http://moves.example/", "next")
	if s.get("web").DeletionTimestamp != nil {
		t.Error("the Ingress is being deleted itself, so that its namespace is proves nothing")
	}
}
