package source

import (
	"maps"

	"github.com/usher-ingress/usher/pkg/object"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// objects are those of one kind, by name. The map belongs to whoever holds a Snapshot once it was given away; the next change
// clones it.
type objects[K comparable, V metav1.Object] struct {
	items map[K]V
	given bool
	name  func(object.Key) K
	equal func(a, b V) bool
}

func newObjects[K comparable, V metav1.Object](name func(object.Key) K, equal func(a, b V) bool) *objects[K, V] {
	return &objects[K, V]{items: map[K]V{}, name: name, equal: equal}
}

func (c *objects[K, V]) give() map[K]V {
	c.given = true
	return c.items
}

func (c *objects[K, V]) own() {
	if c.given {
		c.items, c.given = maps.Clone(c.items), false
	}
}

func (c *objects[K, V]) put(o metav1.Object, note func(object.Key, any)) {
	k := object.KeyOf(o)
	old, exists := c.items[c.name(k)]
	if exists && c.equal(old, o.(V)) {
		return
	}
	note(k, c.get(k))
	c.own()
	c.items[c.name(k)] = o.(V)
}

func (c *objects[K, V]) remove(k object.Key, note func(object.Key, any)) {
	if _, exists := c.items[c.name(k)]; !exists {
		return
	}
	note(k, c.get(k))
	c.own()
	delete(c.items, c.name(k))
}

func (c *objects[K, V]) get(k object.Key) any {
	if v, ok := c.items[c.name(k)]; ok {
		return v
	}
	return nil
}

func (c *objects[K, V]) same(a, b any) bool {
	if a == nil || b == nil {
		return a == b
	}
	return c.equal(a.(V), b.(V))
}

func (c *objects[K, V]) keys() []object.Key {
	keys := make([]object.Key, 0, len(c.items))
	for _, v := range c.items {
		keys = append(keys, object.KeyOf(v))
	}
	return keys
}
