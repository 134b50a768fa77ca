package route

import (
	"slices"
	"strings"
)

// Certificates are the certificates of a Table, by the names they answer for. The zero value has none.
type Certificates struct {
	exact    map[string][]*Certificate
	wildcard map[string][]*Certificate // by what follows "*", with the dot
	all      []*Certificate
	// Default answers a handshake for any other name; nil leaves it to the self-signed fallback.
	Default *Certificate
}

// Add makes c answer for name: a host, or a wildcard "*.example.com". It is for the builder of a Table, before the swap.
func (s *Certificates) Add(name string, c *Certificate) {
	if s.exact == nil {
		s.exact, s.wildcard = map[string][]*Certificate{}, map[string][]*Certificate{}
	}
	if !slices.Contains(s.all, c) {
		s.all = append(s.all, c)
	}
	if parent, ok := strings.CutPrefix(name, "*"); ok {
		s.wildcard[parent] = append(s.wildcard[parent], c)
		return
	}
	s.exact[name] = append(s.exact[name], c)
}

// Find returns the certificates for a server name (lower case): those for exactly it, else those of the wildcard that covers its
// first label, else the default. More than one is returned where a name has, say, an RSA and an ECDSA certificate. The caller must
// not change the slice.
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

// All returns every certificate once, the default included.
func (s *Certificates) All() []*Certificate {
	if s == nil {
		return nil
	}
	if s.Default == nil || slices.Contains(s.all, s.Default) {
		return s.all
	}
	return append(slices.Clip(s.all), s.Default)
}
