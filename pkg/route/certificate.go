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

// Clone returns a copy that can be changed while s is in use.
func (s *Certificates) Clone() *Certificates {
	return &Certificates{exact: maps.Clone(s.exact), wildcard: maps.Clone(s.wildcard), Default: s.Default}
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
// first label, else none, which leaves it to the default. More than one is returned where a name has, say, an RSA and an ECDSA
// certificate. The caller must not change the slice.
func (s *Certificates) Find(name string) []*Certificate {
	if s == nil {
		return nil
	}
	if c, ok := s.exact[name]; ok {
		return c
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		if c, ok := s.wildcard[name[i:]]; ok {
			return c
		}
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
