//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	networkingclient "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
)

// TestOthersChangesInAChurn: while a tenant changes a rule of large Ingresses a hundred times a second, or as often as the API server
// takes it, the changes of others go live, and so do the tenant's last ones.
func TestOthersChangesInAChurn(t *testing.T) {
	const ingresses, rules, pause = 8, 250, 80 * time.Millisecond
	s := newScene(t)
	s.backend("app")
	s.route("app", "app.test", "/", "app")
	tenant := s.namespace + "-tenant"
	s.makeNamespace(tenant)
	for i := range ingresses {
		s.largeIngress(tenant, fmt.Sprint("large-", i), rules)
	}
	u := s.usher("--access-log=false")
	u.expect("http://app.test/", "app")
	end := s.churn(tenant, ingresses, pause)
	began := time.Now()
	var took []time.Duration
	for i := range 100 {
		s.route("other", fmt.Sprintf("other-%d.test", i), "/", "app")
		accepted := time.Now()
		for want := fmt.Sprintf("http://other-%d.test/", i); ; time.Sleep(time.Millisecond) {
			if a, err := u.get(want); err == nil && a.String() == "app" {
				break
			}
			if time.Since(accepted) > patience {
				t.Fatalf("change %d is not live after %v", i, patience)
			}
		}
		took = append(took, time.Since(accepted))
	}
	span := time.Since(began)
	paths := end()
	changes := 0
	for i, last := range paths {
		changes += last + 1
		u.expect(fmt.Sprintf("http://h0.large-%d.test/%d", i, last), "503 no-service")
		u.expect(fmt.Sprintf("http://h0.large-%d.test/none", i), "404 no-path")
	}
	logQuantiles(t, fmt.Sprintf("others' changes beside %.0f a second of Ingresses with %d rules, from when the API server has them",
		float64(changes)/span.Seconds(), rules), took)
}

// churn changes the first path of each large Ingress once in every pause, to /0, /1 and so on, until end is called, which returns the
// last of each.
func (s *scene) churn(namespace string, ingresses int, pause time.Duration) (end func() []int) {
	s.t.Helper()
	config := rest.CopyConfig(theCluster.Config())
	config.QPS = -1
	client, err := networkingclient.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	last := make([]int, ingresses)
	var all sync.WaitGroup
	for i := range ingresses {
		all.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				patch := fmt.Appendf(nil, `[{"op": "replace", "path": "/spec/rules/0/http/paths/0/path", "value": "/%d"}]`, n)
				if _, err := client.Ingresses(namespace).Patch(s.t.Context(), fmt.Sprint("large-", i), types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
					s.t.Error(err)
					return
				}
				last[i] = n
				<-tick.C
			}
		})
	}
	return func() []int { cancel(); all.Wait(); return last }
}

// largeIngress makes an Ingress with n hosts, whose Service does not exist.
func (s *scene) largeIngress(namespace, name string, n int) {
	s.t.Helper()
	kind := networkingv1.PathTypePrefix
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressSpec{IngressClassName: &s.class}}
	for i := range n {
		in.Spec.Rules = append(in.Spec.Rules, networkingv1.IngressRule{
			Host: fmt.Sprintf("h%d.%s.test", i, name),
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: &kind, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: "none", Port: networkingv1.ServiceBackendPort{Number: 80},
				}},
			}}}},
		})
	}
	if _, err := s.client.NetworkingV1().Ingresses(namespace).Create(s.t.Context(), in, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}
