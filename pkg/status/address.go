package status

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
)

// addressesOf is under which addresses a Service is reached from outside, as ingress-nginx has it:
//
//	LoadBalancer         the load balancer's addresses and host names, and the external IPs
//	ClusterIP, NodePort  the external IPs, or without any the cluster IP
//	ExternalName         the name
func addressesOf(s *corev1.Service) []networkingv1.IngressLoadBalancerIngress {
	var out []networkingv1.IngressLoadBalancerIngress
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return []networkingv1.IngressLoadBalancerIngress{hostOrIP(s.Spec.ExternalName)}
	case corev1.ServiceTypeLoadBalancer:
		for _, i := range s.Status.LoadBalancer.Ingress {
			out = append(out, ofLoadBalancer(i))
		}
	}
	for _, ip := range s.Spec.ExternalIPs {
		out = append(out, networkingv1.IngressLoadBalancerIngress{IP: ip})
	}
	if len(out) == 0 && s.Spec.Type != corev1.ServiceTypeLoadBalancer && s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone {
		out = append(out, networkingv1.IngressLoadBalancerIngress{IP: s.Spec.ClusterIP})
	}
	return sorted(out)
}

func ofLoadBalancer(i corev1.LoadBalancerIngress) networkingv1.IngressLoadBalancerIngress {
	out := networkingv1.IngressLoadBalancerIngress{IP: i.IP, Hostname: i.Hostname}
	for _, p := range i.Ports {
		out.Ports = append(out.Ports, networkingv1.IngressPortStatus{Port: p.Port, Protocol: p.Protocol, Error: p.Error})
	}
	return out
}

func hostOrIP(name string) networkingv1.IngressLoadBalancerIngress {
	if ip, err := netip.ParseAddr(name); err == nil {
		return networkingv1.IngressLoadBalancerIngress{IP: ip.String()}
	}
	return networkingv1.IngressLoadBalancerIngress{Hostname: name}
}

// sorted orders addresses and drops those that occur twice, so that two lists of the same are equal.
func sorted(addresses []networkingv1.IngressLoadBalancerIngress) []networkingv1.IngressLoadBalancerIngress {
	out := slices.Clone(addresses)
	slices.SortStableFunc(out, func(a, b networkingv1.IngressLoadBalancerIngress) int {
		return cmp.Or(cmp.Compare(a.IP, b.IP), cmp.Compare(a.Hostname, b.Hostname))
	})
	return slices.CompactFunc(out, func(a, b networkingv1.IngressLoadBalancerIngress) bool {
		return a.IP == b.IP && a.Hostname == b.Hostname
	})
}

// same reports whether two lists name the same addresses, in whatever order.
func same(a, b []networkingv1.IngressLoadBalancerIngress) bool {
	return equality.Semantic.DeepEqual(sorted(a), sorted(b))
}

// target is an Ingress to write, and the pace at which that is allowed.
type target struct {
	key  object.Key
	uid  types.UID
	pace flowcontrol.RateLimiter
}

// put makes the status of an Ingress these addresses, unless it is that already. It never writes to another object that has come to
// bear the same name, and touches nothing else of the object.
func (w *Writer) put(ctx context.Context, t target, want []networkingv1.IngressLoadBalancerIngress) (wrote bool, err error) {
	current, err := w.current(ctx, t.key)
	if err != nil || same(current, want) {
		return false, err
	}
	if err := t.pace.Wait(ctx); err != nil {
		return false, err
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": t.uid},
		"status":   map[string]any{"loadBalancer": map[string]any{"ingress": want}},
	})
	if err != nil {
		return false, err
	}
	_, err = w.options.Client.NetworkingV1().Ingresses(t.key.Namespace).Patch(ctx, t.key.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsConflict(err) {
		err = apierrors.NewNotFound(networkingv1.Resource("ingresses"), t.key.Name)
	}
	return err == nil, err
}

// current is the status that an Ingress has.
func (w *Writer) current(ctx context.Context, k object.Key) ([]networkingv1.IngressLoadBalancerIngress, error) {
	if w.options.Statuses != nil {
		s, ok := w.options.Statuses(k)
		if !ok {
			return nil, apierrors.NewNotFound(networkingv1.Resource("ingresses"), k.Name)
		}
		return s.Ingress, nil
	}
	o, err := w.options.Client.NetworkingV1().Ingresses(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o.Status.LoadBalancer.Ingress, nil
}

// clear takes the addresses out of every claimed Ingress that has ours.
func (w *Writer) clear(ctx context.Context, ours []networkingv1.IngressLoadBalancerIngress) {
	table := w.table.Load()
	if table == nil || len(ours) == 0 {
		return
	}
	for _, i := range table.Ingresses {
		k := object.Key{Namespace: i.Object.Namespace, Name: i.Object.Name}
		if current, err := w.current(ctx, k); err != nil || !i.Claimed || !same(current, ours) {
			continue
		}
		if _, err := w.put(ctx, target{k, types.UID(i.UID), flowcontrol.NewFakeAlwaysRateLimiter()}, nil); err != nil {
			w.log.Sugar().Warnw("status not cleared", "ingress", k.String(), "error", err)
		}
	}
}
