package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

// acmeOrder is a name to be ordered, and how old the Ingress is that asks.
type acmeOrder struct {
	route.ACMEName
	created time.Time
	ending  bool
}

// settleOrder notes what is to be ordered for a name.
func (r *Resolver) settleOrder(name string, n *tlsName, have int) {
	now, ok := r.order(name, n, have)
	before, had := r.tls.orders[name]
	if ok == had && now == before {
		return
	}
	r.tls.reordered = true
	if ok {
		r.tls.orders[name] = now
	} else {
		delete(r.tls.orders, name)
	}
}

// publishOrders lists the orders anew if any changed in this turn: of each namespace those of its oldest Ingresses, as many as it may
// have, so that a new one never ends the renewing of what is there.
func (r *Resolver) publishOrders() {
	t := &r.tls
	if !t.reordered {
		return
	}
	t.reordered = false
	var ordered []route.ACMEName
	var beyond []route.Diagnostic
	count := map[string]int{}
	for _, o := range slices.SortedFunc(maps.Values(t.orders), compareOrders) {
		namespace := o.Origin.Object.Namespace
		if count[namespace]++; r.options.ACMEPerNamespace > 0 && count[namespace] > r.options.ACMEPerNamespace {
			beyond = append(beyond, notOrdered(o.Name, o.Origin, fmt.Sprintf(
				"namespace %s has as many names already as --acme-names-per-namespace allows: %d", namespace, r.options.ACMEPerNamespace)))
			continue
		}
		ordered = append(ordered, o.ACMEName)
	}
	slices.SortFunc(ordered, func(a, b route.ACMEName) int { return strings.Compare(a.Name, b.Name) })
	t.ordered = ordered
	r.problems.replace(t.unordered, beyond)
	t.unordered = beyond
}

// compareOrders puts the older Ingress's first.
func compareOrders(a, b acmeOrder) int {
	return cmp.Or(
		compareBools(a.ending, b.ending), a.created.Compare(b.created),
		cmp.Compare(a.Origin.Object.Namespace, b.Origin.Object.Namespace), cmp.Compare(a.Origin.Object.Name, b.Origin.Object.Name),
		cmp.Compare(a.Name, b.Name),
	)
}
