package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Build builds helm, unless it is built already. Modules may have to be downloaded for that.
func Build() error {
	build := exec.Command("go", "build", "-trimpath", "-o", program(), "helm.sh/helm/v4/cmd/helm")
	build.Dir = at("e2e", "helm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building helm: %w\n%s", err, out)
	}
	return nil
}

// Dir is the chart's own folder.
func Dir() string { return at("charts", "usher") }

// Values is the path of a set of values of this package, by its name.
func Values(name string) string { return at("e2e", "chart", "testdata", name+".yaml") }

func program() string { return at("bin", "helm") }

// at is a path in the repository.
func at(path ...string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(file), "..", ".."}, path...)...)
}

// Helm is a helm command. It knows of no cluster and no configuration but those of its arguments.
func Helm(arguments ...string) *exec.Cmd {
	helm := exec.Command(program(), arguments...)
	home := at("bin", "helm-home") // of nobody
	helm.Env = append(os.Environ(), "KUBECONFIG=/dev/null", "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	return helm
}

// Release is what helm would install.
type Release struct {
	Namespace string
	Objects   []*unstructured.Unstructured
	Notes     string
}

// Render renders the chart for a release called usher in a namespace. Further arguments are those of helm install.
func Render(namespace string, arguments ...string) (*Release, error) {
	helm := Helm(append([]string{"install", "usher", Dir(), "--namespace", namespace, "--dry-run=client", "--output", "json"}, arguments...)...)
	var stderr bytes.Buffer
	helm.Stderr = &stderr
	out, err := helm.Output()
	if err != nil {
		return nil, fmt.Errorf("helm: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var release struct {
		Manifest string
		Info     struct{ Notes string }
	}
	if err := json.Unmarshal(out, &release); err != nil {
		return nil, fmt.Errorf("helm: %w in\n%s", err, out)
	}
	objects, err := decode(release.Manifest)
	return &Release{Namespace: namespace, Objects: objects, Notes: release.Info.Notes}, err
}

func decode(manifest string) (objects []*unstructured.Unstructured, err error) {
	documents := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	for {
		var document json.RawMessage
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, manifest)
		}
		if len(document) == 0 || string(document) == "null" {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(document); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

// Find returns the one object of a kind and name, nil if there is none.
func (r *Release) Find(kind, name string) *unstructured.Unstructured {
	for _, object := range r.Objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	return nil
}
