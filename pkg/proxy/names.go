package proxy

import (
	"sync"
	"sync/atomic"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// names are what hashing and session cookies know the members by. They are made when somebody first asks, once for each Backend.
type names struct {
	once   sync.Once
	seeds  []uint64 // of the members' identities
	tokens atomic.Pointer[tokens]
	sealed atomic.Pointer[sessions]

	ringOnce sync.Once
	ring     *pool.Ring
}

// tokens are the members' persistent cookies, under one set of keys.
type tokens struct {
	keys  *policy.StickyKeys
	mine  []string       // of each member, under the first key
	index map[string]int // of each token that is accepted
}

// sessions are the members' balanced cookies, under one set of keys.
type sessions struct {
	keys *policy.StickyKeys
	*policy.Sessions
}

// seeds returns the hashes of the members' identities.
func (m *members) seeds() []uint64 {
	m.names.once.Do(func() {
		m.names.seeds = make([]uint64, len(m.endpoints))
		for i := range m.endpoints {
			m.names.seeds[i] = pool.Hash(m.member(i).Identity())
		}
	})
	return m.names.seeds
}

// ring is that of the members that new requests may go to.
func (m *members) ring() *pool.Ring {
	m.names.ringOnce.Do(func() { m.names.ring = pool.NewRing(m.seeds()[:m.ready]) })
	return m.names.ring
}

// member is the table's side of member i.
func (m *members) member(i int) *route.Endpoint {
	if i < m.ready {
		return &m.backend.Endpoints[i]
	}
	return &m.backend.Draining[i-m.ready]
}

// tokens returns the members' cookies under keys.
func (m *members) tokens(keys *policy.StickyKeys) *tokens {
	if t := m.names.tokens.Load(); t != nil && t.keys == keys {
		return t
	}
	t := &tokens{keys: keys, mine: make([]string, len(m.endpoints)), index: map[string]int{}}
	for n, key := range *keys {
		for i := range m.endpoints {
			token := policy.StickyKeys{key}.PodToken(m.backend.Name, m.member(i).Identity())
			t.index[token] = i
			if n == 0 {
				t.mine[i] = token
			}
		}
	}
	m.names.tokens.Store(t)
	return t
}

// sessions returns what makes and reads the members' balanced cookies under keys.
func (m *members) sessions(keys *policy.StickyKeys) *policy.Sessions {
	s := m.names.sealed.Load()
	if s == nil || s.keys != keys {
		s = &sessions{keys, keys.Sessions(m.backend.Name)}
		m.names.sealed.Store(s)
	}
	return s.Sessions
}
