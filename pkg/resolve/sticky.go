package resolve

import (
	"crypto/sha256"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// The keys of session cookies must be the same on every replica and after a restart, without anything being shared at run time. They
// come from a Secret, where "key" signs and "previous" is accepted as well, so that a key can be rotated. Without one they are derived
// from the UID of the IngressClass: random, fixed for its life, and known only to who may read the cluster.

// stickyKeyLeast is the shortest key that is used, in bytes.
const stickyKeyLeast = 16

// resolveStickyKeys brings Table.StickyKeys up to date. The pointer stays the same while the keys do.
func (r *Resolver) resolveStickyKeys() {
	keys, problem := r.readStickyKeys()
	if r.sticky == nil || !slices.EqualFunc(*r.sticky, keys, slices.Equal) {
		r.sticky = &keys
	}
	r.problems.replace(r.stickyDiagnostics, problem)
	r.stickyDiagnostics = problem
}

func (r *Resolver) readStickyKeys() (policy.StickyKeys, []route.Diagnostic) {
	name := r.options.StickySecret
	if name == (object.Key{}) {
		return policy.StickyKeys{r.derivedKey()}, nil
	}
	keys, why := secretKeys(r.work.snapshot.Secrets[name])
	if why == "" {
		return keys, nil
	}
	return policy.StickyKeys{r.derivedKey()}, []route.Diagnostic{{
		Severity: route.Error, Reason: policy.BadSecret, Origin: policy.Origin{Object: secretRef(name), Field: "data"},
		Message: fmt.Sprintf("Secret %s, the key of session cookies: %s", name, why),
		Effect:  "a key derived from the IngressClass is used; sessions signed by the Secret's key move once",
	}}
}

func secretKeys(s *corev1.Secret) (policy.StickyKeys, string) {
	if s == nil {
		return nil, "it does not exist"
	}
	var keys policy.StickyKeys
	for _, field := range []string{"key", "previous"} {
		key, ok := s.Data[field]
		if !ok && field == "previous" {
			continue
		}
		if len(key) < stickyKeyLeast {
			return nil, fmt.Sprintf("data[%q] has %d bytes; want at least %d random ones", field, len(key), stickyKeyLeast)
		}
		keys = append(keys, key)
	}
	return keys, ""
}

func (r *Resolver) derivedKey() []byte {
	sum := sha256.New()
	fmt.Fprintf(sum, "usher session cookies\x00%s\x00", r.options.ControllerClass)
	for _, name := range sortedKeys(r.classes.ours) {
		if class := r.classes.known[name]; class != nil {
			fmt.Fprintf(sum, "%s\x00", class.UID)
			break // the first by name: adding a class must not move sessions more often than it needs to
		}
	}
	return sum.Sum(nil)
}
