//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// node makes a node with an internal and an external address, which may be "".
func (s *scene) node(name, internal, external string) {
	s.t.Helper()
	nodes := s.client.CoreV1().Nodes()
	object, err := nodes.Create(s.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: internal}}
	if external != "" {
		object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: external})
	}
	if _, err := nodes.UpdateStatus(s.t.Context(), object, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// replicaPod makes the Pod of a replica on a node, as a kubelet would: ready.
func (s *scene) replicaPod(name, node, hostIP, hash string) {
	s.t.Helper()
	pods := s.client.CoreV1().Pods(s.system)
	object, err := pods.Create(s.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "usher", "pod-template-hash": hash}},
		Spec: corev1.PodSpec{NodeName: node, ServiceAccountName: "usher", AutomountServiceAccountToken: new(bool),
			Containers: []corev1.Container{{Name: "controller", Image: "e2e.local/usher:1"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	object.Status.Phase = corev1.PodRunning
	object.Status.HostIP, object.Status.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
	object.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if _, err := pods.UpdateStatus(s.t.Context(), object, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// TestNodeAddresses: without a Service, status has the addresses of the nodes with a ready replica, by the rights that the chart gives
// for that and no others.
func TestNodeAddresses(t *testing.T) {
	s := newScene(t)
	own := s.system
	if err := theCluster.Allow(t.Context(), cluster.Account{Namespace: own, Name: "usher", Grants: []cluster.Grant{
		{File: shipped + "role-node-addresses.yaml", Namespace: own}, {File: shipped + "clusterrole-nodes.yaml"},
	}}); err != nil {
		t.Fatal(err)
	}
	s.backend("web")
	s.route("web", "nodes.example", "/", "web")
	s.node("one", "198.18.1.1", "203.0.113.1")
	s.node("two", "198.18.1.2", "")
	s.replicaPod(fmt.Sprintf("usher-%d", nextReplica()), "one", "198.18.1.1", "new")
	s.replicaPod("other", "two", "198.18.1.2", "old")
	u := s.start("--publish-node-addresses", "external")
	s.awaitStatus("web", "198.18.1.2 203.0.113.1")
	u.isPermitted()
	if err := u.stop(); err != nil {
		t.Error(err)
	}

	s.replicaPod(fmt.Sprintf("usher-%d", nextReplica()), "one", "198.18.1.1", "new")
	s.usher("--report-node-internal-ip-address")
	s.awaitStatus("web", "198.18.1.1 198.18.1.2")
}
