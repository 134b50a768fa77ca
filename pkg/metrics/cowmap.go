package metrics

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// key is what a cowMap finds its values by. The two strings tell which shard it is in: the map there hashes the whole of it once more.
type key interface {
	comparable
	hashParts() (a, b string)
}

// cowMap is a copy-on-write map: it is read without a lock and grows rarely: a write copies one of its shards.
type cowMap[K key, V any] struct {
	seed   maphash.Seed
	create func(K) *V
	shards [64]shard[K, V]
}

type shard[K key, V any] struct {
	read  atomic.Pointer[map[K]*V]
	write sync.Mutex
}

func newCOWMap[K key, V any](create func(K) *V) *cowMap[K, V] {
	return &cowMap[K, V]{seed: maphash.MakeSeed(), create: create}
}

// get returns the value of key, and makes it when there is none.
func (s *cowMap[K, V]) get(key K) *V {
	a, b := key.hashParts()
	at := maphash.String(s.seed, a) ^ maphash.String(s.seed, b)>>1
	return s.shards[at%uint64(len(s.shards))].get(key, s.create)
}

func (s *shard[K, V]) get(key K, create func(K) *V) *V {
	if m := s.read.Load(); m != nil {
		if v, ok := (*m)[key]; ok {
			return v
		}
	}
	s.write.Lock()
	defer s.write.Unlock()
	next := map[K]*V{}
	if m := s.read.Load(); m != nil {
		if v, ok := (*m)[key]; ok {
			return v
		}
		for k, v := range *m {
			next[k] = v
		}
	}
	v := create(key)
	next[key] = v
	s.read.Store(&next)
	return v
}

// keep drops everything that wanted does not want, and calls dropped for it.
func (s *cowMap[K, V]) keep(wanted func(K) bool, dropped func(*V)) {
	for i := range s.shards {
		s.shards[i].keep(wanted, dropped)
	}
}

func (s *shard[K, V]) keep(wanted func(K) bool, dropped func(*V)) {
	s.write.Lock()
	defer s.write.Unlock()
	m := s.read.Load()
	if m == nil {
		return
	}
	next := make(map[K]*V, len(*m))
	for k, v := range *m {
		if wanted(k) {
			next[k] = v
		} else {
			dropped(v)
		}
	}
	s.read.Store(&next)
}

// each calls f for all values, in no order.
func (s *cowMap[K, V]) each(f func(K, *V)) {
	for i := range s.shards {
		if m := s.shards[i].read.Load(); m != nil {
			for k, v := range *m {
				f(k, v)
			}
		}
	}
}
