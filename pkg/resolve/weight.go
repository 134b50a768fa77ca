package resolve

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/usher-ingress/usher/pkg/object"
)

// Weight is about how much resolving a change costs, in paths and TLS names: those of an Ingress, before and after, and for a Secret
// those of the Ingresses that name it. Anything else counts as one.
func (r *Resolver) Weight(s *object.Snapshot, c object.Change) int {
	switch c.Kind {
	case object.Ingress:
		weight := 1 + weightOf(s.Ingresses[c.Key])
		if before := r.ingresses[c.Key]; before != nil {
			weight += weightOf(before.object)
		}
		return weight
	case object.Secret:
		return 1 + r.secretWeight(c.Key)
	}
	return 1
}

func (r *Resolver) secretWeight(key object.Key) int {
	weight := 0
	if s := r.tls.secrets[key]; s != nil {
		for _, in := range s.users {
			weight += weightOf(in.object)
		}
	}
	if s := r.guards[key]; s != nil {
		for _, in := range s.users {
			weight += weightOf(in.object)
		}
	}
	return weight
}

func weightOf(in *networkingv1.Ingress) int {
	if in == nil {
		return 0
	}
	weight := 0
	for i := range in.Spec.Rules {
		weight++
		if http := in.Spec.Rules[i].HTTP; http != nil {
			weight += max(0, len(http.Paths)-1)
		}
	}
	for i := range in.Spec.TLS {
		weight += max(1, len(in.Spec.TLS[i].Hosts))
	}
	return weight
}
