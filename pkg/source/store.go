package source

import (
	"slices"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxTriggerAge is how old an EndpointSlice's own account of its change may be to be believed.
const maxTriggerAge = time.Hour

// store holds the objects of every kind and remembers what changed since the last Snapshot.
type store struct {
	changed chan struct{} // capacity 1

	mu             sync.Mutex
	ingresses      *objects[object.Key, *networkingv1.Ingress]
	ingressClasses *objects[string, *networkingv1.IngressClass]
	services       *objects[object.Key, *corev1.Service]
	endpointSlices *sliceSet
	secrets        *objects[object.Key, *corev1.Secret]
	configMaps     *objects[object.Key, *corev1.ConfigMap]
	namespaces     *objects[string, *corev1.Namespace]
	pods           *objects[object.Key, *corev1.Pod]
	kinds          map[object.Kind]collection

	lastGood map[object.Key]*corev1.Secret // see object.Snapshot; cloned for each change
	missing  map[object.Change]string      // Unread of the Snapshot; cloned for each change

	before   map[object.Change]any  // what each touched object was at the last Snapshot; nil if it did not exist
	touched  map[object.Change]bool // objects whose entry in lastGood or missing changed since
	since    time.Time
	problems []object.Problem
	told     bool // the problems are those of the last Snapshot
	complete bool // everything was read once
	given    bool // a Snapshot was given away, so Changes can be told

	yield func() // called after each object, so that what else is to be run gets its turn
}

// collection is the objects of one kind. put and remove call note with the name and value of whatever they are about to change.
type collection interface {
	put(o metav1.Object, note func(object.Key, any))
	remove(k object.Key, note func(object.Key, any))
	// get is the value now, nil if there is none; same reports whether two such values differ in nothing that matters.
	get(k object.Key) any
	same(a, b any) bool
	keys() []object.Key // of objects, as remove takes them
}

func newStore() *store {
	s := &store{
		yield:          func() {},
		changed:        make(chan struct{}, 1),
		ingresses:      newObjects(namespaced, sameIngress),
		ingressClasses: newObjects(clusterScoped, sameIngressClass),
		services:       newObjects(namespaced, sameService),
		endpointSlices: newSliceSet(),
		secrets:        newObjects(namespaced, sameSecret),
		configMaps:     newObjects(namespaced, sameConfigMap),
		namespaces:     newObjects(clusterScoped, sameNamespace),
		pods:           newObjects(namespaced, samePod),
		before:         map[object.Change]any{},
		touched:        map[object.Change]bool{},
	}
	s.kinds = map[object.Kind]collection{
		object.Ingress: s.ingresses, object.IngressClass: s.ingressClasses, object.Service: s.services,
		object.EndpointSlice: s.endpointSlices, object.Secret: s.secrets, object.ConfigMap: s.configMaps, object.Namespace: s.namespaces,
		object.Pod: s.pods,
	}
	return s
}

func namespaced(k object.Key) object.Key { return k }
func clusterScoped(k object.Key) string  { return k.Name }

// update calls change with the store locked, and tells the reader if it made a difference.
func (s *store) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.signal()
}

// signal tells the reader that there is something new, if there is. The store is locked.
func (s *store) signal() {
	if !s.complete || s.given && s.told && len(s.before) == 0 {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// put adds or updates an object. The store is locked.
func (s *store) put(o metav1.Object) {
	kind, ok := object.KindOf(o)
	if !ok {
		return
	}
	s.kinds[kind].put(o, func(k object.Key, before any) {
		s.note(object.Change{Kind: kind, Key: k}, before, occurred(o))
		if now, ok := o.(*corev1.Secret); ok {
			old, _ := before.(*corev1.Secret)
			s.keepUsable(k, old, now)
		}
	})
	s.yield()
}

// remove takes an object away. The store is locked.
func (s *store) remove(kind object.Kind, k object.Key) {
	s.kinds[kind].remove(k, func(k object.Key, before any) {
		s.note(object.Change{Kind: kind, Key: k}, before, time.Now())
		if kind == object.Secret {
			s.setLastGood(k, nil)
		}
	})
}

// replace makes the objects of a kind exactly these. The store is locked.
func (s *store) replace(kind object.Kind, objs []metav1.Object) {
	have := make(map[object.Key]bool, len(objs))
	for _, o := range objs {
		have[object.KeyOf(o)] = true
		s.put(o)
	}
	for _, k := range s.kinds[kind].keys() {
		if !have[k] {
			s.remove(kind, k)
		}
	}
}

func (s *store) note(c object.Change, before any, at time.Time) {
	if _, ok := s.before[c]; !ok {
		s.before[c] = before
	}
	if s.since.IsZero() || at.Before(s.since) {
		s.since = at
	}
}

// setProblems replaces the list of problems. The store is locked.
func (s *store) setProblems(problems []object.Problem) {
	if !slices.Equal(s.problems, problems) {
		s.problems, s.told = problems, false
	}
}

// completed says that everything has been read once.
func (s *store) completed() { s.update(func() { s.complete = true }) }

// snapshot gives away what the store holds.
func (s *store) snapshot() (*object.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.complete {
		return nil, false
	}
	snap := &object.Snapshot{
		Ingresses:      s.ingresses.give(),
		IngressClasses: s.ingressClasses.give(),
		Services:       s.services.give(),
		EndpointSlices: s.endpointSlices.groups,
		Secrets:        s.secrets.give(),
		ConfigMaps:     s.configMaps.give(),
		Namespaces:     s.namespaces.give(),
		Pods:           s.pods.give(),
		Unread:         s.missing,
		LastGood:       s.lastGood,
		Problems:       s.problems,
	}
	if s.given {
		snap.Changes, snap.Since = s.changes(), s.since
	}
	s.given, s.told, s.since = true, true, time.Time{}
	clear(s.before)
	clear(s.touched)
	return snap, true
}

// changes lists the objects that differ from the last Snapshot. What came and went in between is not among them.
func (s *store) changes() []object.Change {
	changes := make([]object.Change, 0, len(s.before))
	for c, before := range s.before {
		kind := s.kinds[c.Kind]
		s.yield()
		if now := kind.get(c.Key); s.touched[c] || !kind.same(before, now) {
			changes = append(changes, c)
		}
	}
	return changes
}

// occurred is when the change that led to o happened: now, or what an EndpointSlice says, if that is plausible.
func occurred(o metav1.Object) time.Time {
	now := time.Now()
	slice, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return now
	}
	at, err := time.Parse(time.RFC3339Nano, slice.Annotations[corev1.EndpointsLastChangeTriggerTime])
	if err != nil || at.After(now) || now.Sub(at) > maxTriggerAge {
		return now
	}
	return at
}
