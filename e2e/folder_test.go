//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// folderScene is a scene without a cluster, for what is the same with and
// without one: Usher reads the objects from a folder.
func folderScene(t *testing.T) *scene {
	t.Helper()
	name := sceneName(t)
	s := &scene{t: t, namespace: name, system: name + "-system", class: name, folder: t.TempDir(), logs: t.TempDir()}
	s.applyClass()
	return s
}

// write puts an object into the folder, in the place of one of the same name.
func (s *scene) write(object *unstructured.Unstructured) {
	s.t.Helper()
	if object.GetNamespace() == "" && object.GetKind() != "IngressClass" {
		object.SetNamespace(s.namespace)
	}
	text, err := json.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.folder, strings.ToLower(object.GetKind())+"-"+object.GetNamespace()+"-"+object.GetName()+".json")
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, text) {
		return
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
