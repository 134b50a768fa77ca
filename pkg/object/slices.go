package object

import (
	"iter"
	"maps"

	discoveryv1 "k8s.io/api/discovery/v1"
)

const parts = 1024 // of twenty Services each, in a very large cluster

// EndpointSlices are those of each Service, in no particular order. They change more often than all other objects together, one Service at
// a time, so they are held in parts, of which a change copies one: in a map of 20,000 Services the copy was most of what a change costs.
// The zero value is empty.
type EndpointSlices struct {
	parts [parts]map[Key][]*discoveryv1.EndpointSlice
}

// Of gives the slices of a Service; nil if there are none.
func (e *EndpointSlices) Of(service Key) []*discoveryv1.EndpointSlice {
	return e.parts[part(service)][service]
}

// Set replaces the slices of a Service; none removes it. Copies of e keep theirs.
func (e *EndpointSlices) Set(service Key, group []*discoveryv1.EndpointSlice) {
	p := &e.parts[part(service)]
	next := make(map[Key][]*discoveryv1.EndpointSlice, len(*p)+1)
	maps.Copy(next, *p)
	if next[service] = group; len(group) == 0 {
		delete(next, service)
	}
	*p = next
}

// All are the Services that have slices.
func (e *EndpointSlices) All() iter.Seq2[Key, []*discoveryv1.EndpointSlice] {
	return func(yield func(Key, []*discoveryv1.EndpointSlice) bool) {
		for _, p := range e.parts {
			for service, group := range p {
				if !yield(service, group) {
					return
				}
			}
		}
	}
}

// part is where a Service stands, by its name's FNV-1a hash.
func part(service Key) uint32 {
	h := uint32(2166136261)
	for _, name := range []string{service.Namespace, service.Name} {
		for i := range len(name) {
			h = (h ^ uint32(name[i])) * 16777619
		}
	}
	return (h ^ h>>16) % parts
}
