package resolve_test

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
)

// TestSessionKeys: the key of session cookies is derived from the UID of the IngressClass, or else of the controller's ConfigMap. Where there
// is no UID it is the process's own: never one that can be told from the source.
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
	ofConfigMap := func(class, configMap types.UID) string {
		s := newSnapshot()
		name := object.Key{Namespace: "usher", Name: "settings"}
		s.ConfigMaps[name] = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: configMap}}
		s.ConfigMaps[object.Key{Namespace: "tenant", Name: "settings"}] = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{UID: "chosen"}}
		if class != "" {
			s.IngressClasses["usher"] = &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "usher", UID: class}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
		}
		o := resolve.Options{ControllerClass: controller, IngressClass: "usher", ConfigMap: name, SessionKey: []byte("of this process")}
		return string((*resolve.New(o).Resolve(s, now).StickyKeys)[0])
	}
	if a, again, b := ofConfigMap("", "1"), ofConfigMap("", "1"), ofConfigMap("", "2"); a != again || a == b || ofConfigMap("", "") != "of this process" {
		t.Error("without a class the key must depend on the UID of the controller's ConfigMap, and on nothing else")
	}
	if ofConfigMap("1", "1") != ofConfigMap("1", "2") {
		t.Error("the class's UID goes before the ConfigMap's")
	}
	one, again, other := keyFor("1", true, "a"), keyFor("1", true, "b"), keyFor("2", true, "a")
	if !bytes.Equal(one, again) || bytes.Equal(one, other) {
		t.Error("the key must depend on the UID, and on nothing else")
	}
}
