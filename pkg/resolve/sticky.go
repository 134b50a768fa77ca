package resolve

import (
	"crypto/sha256"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// The keys of session cookies must be the same on every replica and after a restart, without anything being shared at run time. They
// come from a Secret, where "key" signs and "previous" is accepted as well, so that a key can be rotated. Without one they are derived
// from the UID of the IngressClass: random, fixed for its life, and known only to who may read the cluster. Where that may not be read, or
// does not exist, the UID of the controller's ConfigMap takes its place. Where neither has one, the key is the process's own, which is
// reported where sessions are affected.

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
	key, source := r.ownSessionKey()
	own := policy.StickyKeys{key}
	name := r.options.StickySecret
	if name == (object.Key{}) {
		return own, r.reportRandomKey(source)
	}
	keys, why := secretKeys(r.work.snapshot.Secrets[name])
	if r.work.snapshot.Secrets[name] == nil {
		why = "it " + r.work.snapshot.Absent(object.Secret, name)
	}
	if why == "" {
		return keys, nil
	}
	return own, append(r.reportRandomKey(source), route.Diagnostic{
		Severity: route.Error, Reason: policy.BadSecret, Origin: policy.Origin{Object: secretRef(name), Field: "data"},
		Message: fmt.Sprintf("Secret %s, the key of session cookies: %s", name, why),
		Effect:  fmt.Sprintf("a key %s is used; sessions signed by the Secret's key move once", source),
	})
}

// The sources of the key that is used without a Secret.
const (
	fromClass     = "derived from the IngressClass"
	fromConfigMap = "derived from the controller's ConfigMap"
	atRandom      = "made at random by this process"
)

// reportRandomKey tells of a key that no other replica has, if there are sessions. Classes of a file have no UID: once they are applied
// to a cluster they do, so that is no warning.
func (r *Resolver) reportRandomKey(source string) []route.Diagnostic {
	if source != atRandom || r.stickyUsers == 0 {
		return nil
	}
	severity := route.Warning
	if len(r.classes.ours) > 0 {
		severity = route.Info
	}
	return []route.Diagnostic{{
		Severity: severity, Reason: policy.RandomSessionKey,
		Origin:  policy.Origin{Object: policy.Ref{Kind: "IngressClass", Name: r.options.IngressClass}, Field: "metadata.uid"},
		Message: "neither an IngressClass of this controller nor its ConfigMap has a UID, so the key of session cookies was made at random; give one by --session-key-secret",
		Effect:  "each replica, and each start, has a key of its own: sessions move when a request reaches another one",
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

// ownSessionKey is the key without a Secret, and where it comes from.
func (r *Resolver) ownSessionKey() (key []byte, source string) {
	for _, name := range sortedKeys(r.classes.ours) {
		if class := r.classes.known[name]; class != nil && class.UID != "" {
			// The first by name: adding a class must not move sessions more often than it needs to.
			return r.derivedKey(class.UID), fromClass
		}
	}
	if configMap := r.work.snapshot.ConfigMaps[r.options.ConfigMap]; configMap != nil && configMap.UID != "" {
		return r.derivedKey(configMap.UID), fromConfigMap
	}
	return r.options.SessionKey, atRandom
}

func (r *Resolver) derivedKey(uid types.UID) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "usher session cookies\x00%s\x00%s\x00", r.options.ControllerClass, uid))
	return sum[:]
}
