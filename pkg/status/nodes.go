package status

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// NodeAddresses say which addresses of the nodes are published.
type NodeAddresses string

// Which addresses they are.
const (
	NoNodes  NodeAddresses = ""         // none
	External NodeAddresses = "external" // the external ones, of a node without any the internal ones, as ingress-nginx has it
	Internal NodeAddresses = "internal" // the internal ones
)

// ofNodes are the addresses of the nodes on which replicas of this one are ready, by the labels of this one's Pod. Internal ones are told
// by the Pods; external ones need the right to read nodes, and without it the internal ones are taken.
func (w *Writer) ofNodes(ctx context.Context) ([]networkingv1.IngressLoadBalancerIngress, error) {
	pods, err := w.replicas(ctx)
	if err != nil {
		return nil, err
	}
	var out []networkingv1.IngressLoadBalancerIngress
	for _, p := range pods {
		addresses := hostIPs(p)
		if w.options.Nodes == External {
			external, err := w.external(ctx, p.Spec.NodeName)
			if err != nil {
				return nil, err
			}
			if len(external) > 0 {
				addresses = external
			}
		}
		for _, a := range addresses {
			out = append(out, hostOrIP(a))
		}
	}
	return sorted(out), nil
}

// replicas are the Pods like this one that are ready and stay.
func (w *Writer) replicas(ctx context.Context) ([]corev1.Pod, error) {
	pods := w.options.Client.CoreV1().Pods(w.options.Namespace)
	own, err := pods.Get(ctx, w.options.Identity, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("this replica's own Pod: %w", err)
	}
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: likeness(own.Labels).String()})
	if err != nil {
		return nil, fmt.Errorf("the Pods of the replicas: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil || !isReady(&p) }), nil
}

// likeness is what the Pods of all replicas have in common: their labels, less those that tell one version, place or number from another.
func likeness(own map[string]string) labels.Set {
	common := labels.Set{}
	for k, v := range own {
		switch prefix, _, _ := strings.Cut(k, "/"); prefix {
		case "pod-template-hash", "controller-revision-hash", "pod-template-generation", "topology.kubernetes.io", "statefulset.kubernetes.io", "apps.kubernetes.io",
			"helm.sh":
		default:
			if k != "app.kubernetes.io/version" {
				common[k] = v
			}
		}
	}
	return common
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// hostIPs are the internal addresses of a Pod's node.
func hostIPs(p corev1.Pod) []string {
	var out []string
	for _, h := range p.Status.HostIPs {
		out = append(out, h.IP)
	}
	if len(out) == 0 && p.Status.HostIP != "" {
		out = append(out, p.Status.HostIP)
	}
	return out
}

// external are the external addresses of a node; none if it may not be read.
func (w *Writer) external(ctx context.Context, name string) ([]string, error) {
	node, err := w.options.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", name, err)
	}
	var out []string
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeExternalIP {
			out = append(out, a.Address)
		}
	}
	return out, nil
}
