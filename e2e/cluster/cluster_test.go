//go:build e2e

package cluster_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/usher-ingress/usher/e2e/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m, nil) }

func TestCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := cluster.Start(ctx, cluster.Options{Controllers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs())
		}
		c.Stop()
	})

	t.Run("takes a backend's address in an EndpointSlice", func(t *testing.T) { slices(t, c) })
	t.Run("keeps objects over a restart of the API server", func(t *testing.T) { restart(t, c) })
	t.Run("gives an account its roles and no more", func(t *testing.T) { roles(t, c) })
}

func slices(t *testing.T, c *cluster.Cluster) {
	for host, family := range map[string]discoveryv1.AddressType{
		"10.244.3.4": discoveryv1.AddressTypeIPv4, "fd00:10:244::3:4": discoveryv1.AddressTypeIPv6,
	} {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{GenerateName: "web-"},
			AddressType: family,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{host}}},
		}
		if _, err := c.Client().DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		backend, err := cluster.StartBackend("web", host+":8080", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer backend.Close()
		response, err := http.Get("http://" + host + ":8080/")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := backend.Requests(); got != 1 {
			t.Errorf("%s has counted %d requests, want 1", host, got)
		}
	}
}

func restart(t *testing.T, c *cluster.Cluster) {
	maps := c.Client().CoreV1().ConfigMaps("default")
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}, Data: map[string]string{"a": "b"}}
	if _, err := maps.Create(t.Context(), kept, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.KillAPIServer()
	if _, err := maps.Get(t.Context(), "kept", metav1.GetOptions{}); err == nil {
		t.Fatal("the API server answers though it was killed")
	}
	began := time.Now()
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready again after %v", time.Since(began))
	if got, err := maps.Get(t.Context(), "kept", metav1.GetOptions{}); err != nil || got.Data["a"] != "b" {
		t.Fatalf("after the restart: %v, %v", got, err)
	}
}

func roles(t *testing.T, c *cluster.Cluster) {
	const rbac = "../../charts/usher/files/rbac/"
	kubeconfig, err := c.ServiceAccount(t.Context(), cluster.Account{
		Namespace: "default", Name: "usher",
		Grants: []cluster.Grant{{File: rbac + "clusterrole.yaml"}, {File: rbac + "role-leader-election.yaml", Namespace: "default"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	if _, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("reading Secrets: %v", err)
	}
	if err := client.CoreV1().Secrets("default").Delete(t.Context(), "x", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("deleting a Secret: %v, want forbidden", err)
	}
	if _, err := client.CoordinationV1().Leases("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("reading another namespace's Leases: %v, want forbidden", err)
	}
}
