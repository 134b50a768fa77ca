package source

import (
	"crypto/tls"
	"maps"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
)

// What the store remembers beside the objects: why some are missing, and the last usable version of Secrets that became unusable. It
// stands here, not in the resolver, so that the resolver stays a function of its Snapshot.

// unread notes why an object is missing; "" if nothing but its absence is the cause. The store is locked.
func (s *store) unread(c object.Change, why string) {
	if s.missing[c] == why {
		return
	}
	s.missing = maps.Clone(s.missing)
	if s.missing == nil {
		s.missing = map[object.Change]string{}
	}
	if s.missing[c] = why; why == "" {
		delete(s.missing, c)
	}
	s.touch(c)
}

// keepUsable notes, when a Secret with a certificate is updated to one without a usable certificate, what it was. A restart forgets.
func (s *store) keepUsable(k object.Key, before, now *corev1.Secret) {
	switch {
	case before == nil || usable(now):
		s.setLastGood(k, nil)
	case usable(before):
		s.setLastGood(k, before)
	}
}

func (s *store) setLastGood(k object.Key, secret *corev1.Secret) {
	if s.lastGood[k] == secret {
		return
	}
	s.lastGood = maps.Clone(s.lastGood)
	if s.lastGood == nil {
		s.lastGood = map[object.Key]*corev1.Secret{}
	}
	if s.lastGood[k] = secret; secret == nil {
		delete(s.lastGood, k)
	}
	s.touch(object.Change{Kind: object.Secret, Key: k})
}

// touch makes an object one of the changes, even if it is the same itself.
func (s *store) touch(c object.Change) {
	s.touched[c] = true
	s.note(c, s.kinds[c.Kind].get(c.Key), time.Now())
}

// usable reports whether a Secret holds a certificate with its key.
func usable(s *corev1.Secret) bool {
	chain, key := s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]
	if len(chain) == 0 {
		chain = []byte(s.StringData[corev1.TLSCertKey])
	}
	if len(key) == 0 {
		key = []byte(s.StringData[corev1.TLSPrivateKeyKey])
	}
	if len(chain) == 0 || len(key) == 0 {
		return false
	}
	_, err := tls.X509KeyPair(chain, key)
	return err == nil
}
