package resolve_test

import (
	"bytes"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/usher-ingress/usher/pkg/resolve"
)

// TestSessionKeys: the key of session cookies is derived from the UID of the IngressClass. Where there is no UID it is the process's own:
// never one that can be told from the source.
func TestSessionKeys(t *testing.T) {
	const controller = "usher.dev/ingress-controller"
	keyFor := func(uid types.UID, exists bool, own string) []byte {
		s := newSnapshot()
		if exists {
			s.IngressClasses["usher"] = &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "usher", UID: uid}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
		}
		keys := *resolve.New(resolve.Options{ControllerClass: controller, IngressClass: "usher", SessionKey: []byte(own)}).Resolve(s, now).StickyKeys
		if len(keys) != 1 {
			t.Fatalf("%d keys, want one", len(keys))
		}
		return keys[0]
	}
	for _, exists := range []bool{false, true} {
		if got := keyFor("", exists, "of this process"); string(got) != "of this process" {
			t.Errorf("without a UID (class exists: %v) the key is %q", exists, got)
		}
	}
	one, again, other := keyFor("1", true, "a"), keyFor("1", true, "b"), keyFor("2", true, "a")
	if !bytes.Equal(one, again) || bytes.Equal(one, other) {
		t.Error("the key must depend on the UID, and on nothing else")
	}
}
