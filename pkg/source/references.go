package source

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/object"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// References names the objects that another one refers to, as Secret and ConfigMap changes.
type References func(metav1.Object) []object.Change

// referrals are who refers to what. While an object has one referrer or more, it is read.
type referrals struct {
	of    map[object.Change][]object.Change
	count map[object.Change]int
}

func newReferrals() referrals {
	return referrals{of: map[object.Change][]object.Change{}, count: map[object.Change]int{}}
}

// refer says that owner now refers to these, and to nothing else; it starts and stops the feeds that follow from it. The Cluster is
// locked, and so is the store, except before Run has started.
func (c *Cluster) refer(owner object.Change, to []object.Change) {
	old := c.references.of[owner]
	if len(old) == 0 && len(to) == 0 {
		return
	}
	for _, r := range to {
		c.references.count[r]++
		if c.named[r] == nil && !c.ended && !c.covered(r) {
			c.store.unread(r, "")
			c.named[r] = c.startNamed(r)
		}
	}
	for _, r := range old {
		c.references.count[r]--
		if c.references.count[r] > 0 {
			continue
		}
		delete(c.references.count, r)
		if f := c.named[r]; f != nil {
			delete(c.named, r)
			c.stopNamed(f)
		}
	}
	if c.references.of[owner] = to; len(to) == 0 {
		delete(c.references.of, owner)
	}
}

// referencesOf are the objects that o needs and that are read by name.
func (c *Cluster) referencesOf(o metav1.Object) []object.Change {
	var to []object.Change
	switch o := o.(type) {
	case *networkingv1.Ingress:
		return c.secretsOf(o)
	case *networkingv1.IngressClass:
		to = classParameters(o)
	}
	return to
}

// maxSecrets is how many Secrets of one Ingress are read by name: each is a watch at the API server, and whoever may write an Ingress
// could have any number of them.
const maxSecrets = 100

// secretsOf are the Secrets that an Ingress of ours names, if each is read by itself. Those beyond maxSecrets are left unread.
func (c *Cluster) secretsOf(o *networkingv1.Ingress) []object.Change {
	owner := object.KeyOf(o)
	c.leaveUnread(owner, nil)
	if !c.options.SecretsByName || c.options.Claims != nil && !c.options.Claims(o, c.store.ingressClasses.items) {
		return nil
	}
	all := tlsSecrets(o)
	if c.options.References != nil {
		all = append(c.options.References(o), all...)
	}
	var to []object.Change
	seen := map[object.Change]bool{}
	for _, r := range all {
		if !seen[r] {
			to = append(to, r)
		}
		seen[r] = true
	}
	if len(to) > maxSecrets {
		c.leaveUnread(owner, to[maxSecrets:])
		to = to[:maxSecrets]
	}
	return to
}

// leaveUnread notes the Secrets of an Ingress that are not read, in the place of those it had before.
func (c *Cluster) leaveUnread(owner object.Key, secrets []object.Change) {
	for _, r := range c.beyond[owner] {
		if c.named[r] == nil {
			c.store.unread(r, "")
		}
	}
	if c.beyond[owner] = secrets; len(secrets) == 0 {
		delete(c.beyond, owner)
	}
	why := fmt.Sprintf("is not read: of the Secrets that Ingress %s names, the first %d are (--watch-secrets-by-name)", owner, maxSecrets)
	for _, r := range secrets {
		if c.named[r] == nil && !c.covered(r) {
			c.store.unread(r, why)
		}
	}
}

// referAll decides anew what every Ingress refers to, after the classes changed.
func (c *Cluster) referAll() {
	if !c.options.SecretsByName {
		return
	}
	for k, o := range c.store.ingresses.items {
		c.refer(object.Change{Kind: object.Ingress, Key: k}, c.secretsOf(o))
	}
}

func tlsSecrets(o *networkingv1.Ingress) []object.Change {
	var to []object.Change
	for _, t := range o.Spec.TLS {
		if t.SecretName != "" {
			to = append(to, object.Change{Kind: object.Secret, Key: object.Key{Namespace: o.Namespace, Name: t.SecretName}})
		}
	}
	return to
}

// classParameters is the ConfigMap that a class names, if it names one.
func classParameters(o *networkingv1.IngressClass) []object.Change {
	p := o.Spec.Parameters
	if p == nil || p.Kind != "ConfigMap" || p.Namespace == nil || p.APIGroup != nil && *p.APIGroup != "" {
		return nil
	}
	return []object.Change{{Kind: object.ConfigMap, Key: object.Key{Namespace: *p.Namespace, Name: p.Name}}}
}
