package resolve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// secret is a Secret that somebody names, and the certificate in it.
type secret struct {
	users       []*ingress
	object      *corev1.Secret // as read; nil if it is absent
	lastGood    *corev1.Secret // its last version with a usable certificate, where this one has none
	certificate *route.Certificate
	names       map[string]bool // of the certificate
	problem     string          // why it has no certificate, or why that of lastGood is used
	absent      string          // why object is nil
}

// usedBy notes an Ingress that names the Secret, once however often it does: its entries are noted one after another.
func (s *secret) usedBy(in *ingress) {
	if n := len(s.users); n == 0 || s.users[n-1] != in {
		s.users = append(s.users, in)
	}
}

// read parses what a Snapshot has of the Secret, unless that was done before, and reports whether it is news.
func (s *secret) read(key object.Key, from *object.Snapshot) bool {
	object, lastGood, absent := from.Secrets[key], from.LastGood[key], from.Absent(object.Secret, key)
	same := s.object == object || s.object != nil && object != nil && sameVersion(s.object, object)
	if same && s.lastGood == lastGood && s.absent == absent {
		return false
	}
	*s = secret{users: s.users, object: object, lastGood: lastGood, absent: absent}
	if object == nil {
		return true
	}
	certificate, err := readCertificate(key, object)
	if err != nil {
		s.problem = err.Error()
		if lastGood == nil {
			return true
		}
		if certificate, err = readCertificate(key, lastGood); err != nil {
			return true
		}
	}
	s.certificate, s.names = certificate, make(map[string]bool, len(certificate.Names))
	for _, name := range certificate.Names {
		s.names[name] = true
	}
	return true
}

// readCertificate reads the chain and key of a Secret of type kubernetes.io/tls, or of any type with the same two keys.
func readCertificate(key object.Key, object *corev1.Secret) (*route.Certificate, error) {
	chain, err := secretField(object, corev1.TLSCertKey)
	if err != nil {
		return nil, err
	}
	private, err := secretField(object, corev1.TLSPrivateKeyKey)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	c := &route.Certificate{Secret: secretRef(key), TLS: &pair, NotFrom: pair.Leaf.NotBefore, Until: pair.Leaf.NotAfter}
	for _, name := range pair.Leaf.DNSNames {
		c.Names = append(c.Names, strings.ToLower(name))
	}
	if len(c.Names) == 0 && pair.Leaf.Subject.CommonName != "" {
		c.Names = []string{strings.ToLower(pair.Leaf.Subject.CommonName)}
	}
	return c, nil
}

// secretField is data[name]; stringData counts too, for a Secret that comes from a file and never met an API server.
func secretField(s *corev1.Secret, name string) ([]byte, error) {
	if value := s.Data[name]; len(value) > 0 {
		return value, nil
	}
	if value := s.StringData[name]; value != "" {
		return []byte(value), nil
	}
	return nil, fmt.Errorf("it has no %s", name)
}

func secretRef(k object.Key) policy.Ref {
	return policy.Ref{Kind: string(object.Secret), Namespace: k.Namespace, Name: k.Name}
}

// covers reports whether there is a certificate that is valid for a host, or for a wildcard as a whole. A wildcard covers one label.
func (s *secret) covers(name string) bool {
	wildcard := wildcardOf(name)
	return s.names[name] || wildcard != "" && s.names[wildcard]
}

// datesProblem says that a certificate is not valid at this time; "" if it is.
func datesProblem(c *route.Certificate, now time.Time) string {
	switch {
	case now.After(c.Until):
		return fmt.Sprintf("the certificate of %s expired on %s", c.Secret, c.Until.UTC().Format(time.RFC3339))
	case now.Before(c.NotFrom):
		return fmt.Sprintf("the certificate of %s is not valid before %s", c.Secret, c.NotFrom.UTC().Format(time.RFC3339))
	}
	return ""
}
