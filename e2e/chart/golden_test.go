//go:build e2e

package chart

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestGolden renders each set of values of testdata.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name, isValues := strings.CutSuffix(file, ".yaml")
		if !isValues || strings.HasSuffix(name, ".golden") {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			release := render(t, "-f", file)
			compare(t, name+".golden.yaml", release.print(t, filepath.Base(name) == "default"))
		})
	}
}

// print is the release for a person. All objects have the same labels, more or less: they are there when asked for.
func (r *Release) print(t *testing.T, labels bool) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, object := range r.Objects {
		if !labels {
			unstructured.RemoveNestedField(object.Object, "metadata", "labels")
			unstructured.RemoveNestedField(object.Object, "spec", "template", "metadata", "labels")
		}
		if dashboard, _, _ := unstructured.NestedString(object.Object, "data", "usher.json"); dashboard != "" {
			_ = unstructured.SetNestedField(object.Object, "files/dashboard.json", "data", "usher.json") // the type is right
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	b.WriteString("--- # notes\n# " + strings.ReplaceAll(strings.TrimSpace(r.Notes), "\n", "\n# ") + "\n")
	return bytes.ReplaceAll(b.Bytes(), []byte("# \n"), []byte("#\n"))
}

// compare fails the test unless the file has this content; with -update it gets it.
func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range gotLines {
		if i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("%s: line %d is\n%s\nwant\n%s\n-update accepts all that is different", file, i+1, gotLines[i], strings.Join(wantLines[min(i, len(wantLines)):min(i+1, len(wantLines))], ""))
		}
	}
	t.Fatalf("%s: %d lines, want %d", file, len(gotLines), len(wantLines))
}

// TestExamples renders the values of examples/: the schema takes them, and none of them is one that does nothing.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(at("examples", "*", "*values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if release := render(t, "-f", file); strings.Contains(release.Notes, "IGNORED") {
				t.Error(release.Notes)
			}
		})
	}
}

// TestAzureProbe: what Azure's probe asks for with externalTrafficPolicy Cluster is the path that Usher itself answers.
func TestAzureProbe(t *testing.T) {
	service := render(t, "-f", at("examples", "load-balancers", "azure-values.yaml"), "--set", "controller.service.externalTrafficPolicy=Cluster").Find("Service", "usher")
	if path := service.GetAnnotations()["service.beta.kubernetes.io/azure-load-balancer-health-probe-request-path"]; path != "/healthz" {
		t.Errorf("Azure's probe asks for %q, want /healthz", path)
	}
}
