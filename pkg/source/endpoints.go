package source

import (
	"cmp"
	"maps"
	"slices"

	"github.com/usher-ingress/usher/pkg/object"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sliceSet are the EndpointSlices, grouped by their Service. A group is never written once it is in the map: a change makes a new
// one. A slice without the label of a Service belongs to none and is left out.
type sliceSet struct {
	groups  object.EndpointSlices
	service map[object.Key]object.Key // of each slice
}

func newSliceSet() *sliceSet {
	return &sliceSet{service: map[object.Key]object.Key{}}
}

func (c *sliceSet) put(o metav1.Object, note func(object.Key, any)) {
	slice, key := o.(*discoveryv1.EndpointSlice), object.KeyOf(o)
	service := object.Key{Namespace: key.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
	if old, ok := c.service[key]; ok && old != service {
		c.remove(key, note)
	}
	if service.Name == "" {
		return
	}
	group, i := c.find(service, key)
	if i >= 0 && sameEndpointSlice(group[i], slice) {
		return
	}
	note(service, c.get(service))
	c.service[key] = service
	c.groups.Set(service, insert(group, i, slice))
}

// insert returns a copy of the group in which slice stands at i, or, for a new one, at its place by name.
func insert(group []*discoveryv1.EndpointSlice, i int, slice *discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	next := make([]*discoveryv1.EndpointSlice, len(group), len(group)+1)
	copy(next, group)
	if i >= 0 {
		next[i] = slice
		return next
	}
	at, _ := slices.BinarySearchFunc(next, slice.Name, func(s *discoveryv1.EndpointSlice, name string) int { return cmp.Compare(s.Name, name) })
	return slices.Insert(next, at, slice)
}

func (c *sliceSet) remove(key object.Key, note func(object.Key, any)) {
	service, ok := c.service[key]
	if !ok {
		return
	}
	note(service, c.get(service))
	delete(c.service, key)
	group, i := c.find(service, key)
	c.groups.Set(service, slices.Delete(slices.Clone(group), i, i+1))
}

// find is the group of a Service and the place in it of the slice of that name, or -1.
func (c *sliceSet) find(service, key object.Key) ([]*discoveryv1.EndpointSlice, int) {
	group := c.groups.Of(service)
	return group, slices.IndexFunc(group, func(s *discoveryv1.EndpointSlice) bool { return s.Name == key.Name })
}

func (c *sliceSet) get(service object.Key) any {
	if group := c.groups.Of(service); group != nil {
		return group
	}
	return nil
}

func (c *sliceSet) same(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return slices.EqualFunc(a.([]*discoveryv1.EndpointSlice), b.([]*discoveryv1.EndpointSlice), sameEndpointSlice)
}

func (c *sliceSet) keys() []object.Key { return slices.Collect(maps.Keys(c.service)) }
