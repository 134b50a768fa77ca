package status

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// replica is a Pod on a node of the same number.
func replica(number, hash string, ready bool) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "usher", Name: "usher-" + number, Labels: map[string]string{
			"app.kubernetes.io/name": "usher", "pod-template-hash": hash, "topology.kubernetes.io/zone": "zone-" + number,
			"app.kubernetes.io/version": hash, "helm.sh/chart": "usher-" + hash,
		}},
		Spec:   corev1.PodSpec{NodeName: "node-" + number},
		Status: corev1.PodStatus{HostIP: "10.0.0." + number, HostIPs: []corev1.HostIP{{IP: "10.0.0." + number}, {IP: "fd00::" + number}}},
	}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

func nodesWorld() *fake.Clientset {
	leaving := replica("4", "old", true)
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{}, []string{"a/b"}
	other := replica("5", "new", true)
	other.Labels["app.kubernetes.io/name"] = "other"
	node := func(number string, addresses ...corev1.NodeAddress) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-" + number}, Status: corev1.NodeStatus{Addresses: addresses}}
	}
	return fake.NewClientset(replica("0", "new", true), replica("1", "old", true), replica("3", "new", false), leaving, other,
		node("0", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.0"}, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "192.0.2.10"}),
		node("1", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}))
}

// TestNodeAddresses: the nodes of replicas that are ready and stay, whatever their version and zone.
func TestNodeAddresses(t *testing.T) {
	for _, c := range []struct {
		nodes  NodeAddresses
		change func(*fake.Clientset)
		want   string
	}{
		{Internal, nil, "10.0.0.0 10.0.0.1 fd00::0 fd00::1"},
		{External, nil, "10.0.0.1 192.0.2.10 fd00::1"},
		{External, func(c *fake.Clientset) {
			c.PrependReactor("get", "nodes", func(ktesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(corev1.Resource("nodes"), "", nil)
			})
		}, "10.0.0.0 10.0.0.1 fd00::0 fd00::1"},
	} {
		client := nodesWorld()
		if c.change != nil {
			c.change(client)
		}
		o := options(client)
		o.Addresses, o.Nodes = nil, c.nodes
		w, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		found, err := w.found(context.Background())
		var got []string
		for _, i := range found {
			got = append(got, i.IP)
		}
		if want := strings.ReplaceAll(c.want, "fd00::0", "fd00::"); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v, want %s", c.nodes, got, err, want)
		}
	}
	o := options(nodesWorld())
	o.Identity, o.Addresses, o.Nodes = "elsewhere", nil, Internal
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := w.found(context.Background()); err == nil {
		t.Errorf("without a Pod of its own: %v", found)
	}
}
