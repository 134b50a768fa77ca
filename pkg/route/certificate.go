package route

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Certificates are the certificates of a Table, by the names they answer for. The zero value has none.
type Certificates struct {
	exact    map[string][]*Certificate
	wildcard map[string][]*Certificate // by what follows "*", with the dot
	apart    map[string]bool           // hosts that the wildcard above them is not for
	// Default answers a handshake for any other name; nil leaves it to the self-signed fallback.
	Default *Certificate
}

// Add makes c answer for name: a host, or a wildcard "*.example.com". It is for the builder of a Table, before the swap.
func (s *Certificates) Add(name string, c *Certificate) {
	s.Set(name, append(slices.Clip(s.For(name)), c))
}

// Set makes exactly these certificates answer for name; none makes it a name without a certificate of its own. It is for the builder
// of a Table, before the swap.
func (s *Certificates) Set(name string, certificates []*Certificate) {
	if s.exact == nil {
		s.exact, s.wildcard = map[string][]*Certificate{}, map[string][]*Certificate{}
	}
	names := s.exact
	if parent, ok := strings.CutPrefix(name, "*"); ok {
		names, name = s.wildcard, parent
	}
	if len(certificates) == 0 {
		delete(names, name)
		return
	}
	names[name] = certificates
}

// SetApart makes a host one that the certificates of the wildcard above it do not answer for, or lifts that. It is for the builder of a
// Table, before the swap.
func (s *Certificates) SetApart(host string, apart bool) {
	if s.apart == nil {
		s.apart = map[string]bool{}
	}
	if s.apart[host] = apart; !apart {
		delete(s.apart, host)
	}
}

// Apart reports whether the certificates of the wildcard above a host do not answer for it.
func (s *Certificates) Apart(host string) bool { return s != nil && s.apart[host] }

// ApartHosts lists the hosts that are Apart, in order.
func (s *Certificates) ApartHosts() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.apart))
}

// Clone returns a copy that can be changed while s is in use.
func (s *Certificates) Clone() *Certificates {
	return &Certificates{exact: maps.Clone(s.exact), wildcard: maps.Clone(s.wildcard), apart: maps.Clone(s.apart), Default: s.Default}
}

// For returns the certificates that were given for a name or wildcard itself. The caller must not change the slice.
func (s *Certificates) For(name string) []*Certificate {
	if s == nil {
		return nil
	}
	if parent, ok := strings.CutPrefix(name, "*"); ok {
		return s.wildcard[parent]
	}
	return s.exact[name]
}

// Find returns the certificates for a server name (lower case): those for exactly it, else those of the wildcard that covers its
// first label, unless the name is Apart, else none, which leaves it to the default. More than one is returned where a name has, say, an RSA and an ECDSA
// certificate. The caller must not change the slice.
func (s *Certificates) Find(name string) []*Certificate {
	if s == nil {
		return nil
	}
	if c, ok := s.exact[name]; ok {
		return c
	}
	return s.above(name)
}

// above returns the certificates of the wildcard that covers a name.
func (s *Certificates) above(name string) []*Certificate {
	if i := strings.IndexByte(name, '.'); i > 0 && !s.apart[name] {
		return s.wildcard[name[i:]]
	}
	return nil
}

// Names lists the names that have certificates, in order; wildcards as "*.example.com".
func (s *Certificates) Names() []string {
	if s == nil {
		return nil
	}
	names := slices.Collect(maps.Keys(s.exact))
	for parent := range s.wildcard {
		names = append(names, "*"+parent)
	}
	slices.Sort(names)
	return names
}

// All returns every certificate once, the default included, by Secret. It looks at every name: not for the request path.
func (s *Certificates) All() []*Certificate {
	if s == nil {
		return nil
	}
	seen := map[*Certificate]bool{}
	if s.Default != nil {
		seen[s.Default] = true
	}
	for _, names := range []map[string][]*Certificate{s.exact, s.wildcard} {
		for _, certificates := range names {
			for _, c := range certificates {
				seen[c] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b *Certificate) int {
		return cmp.Or(cmp.Compare(a.Secret.Namespace, b.Secret.Namespace), cmp.Compare(a.Secret.Name, b.Secret.Name))
	})
}
