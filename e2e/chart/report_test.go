//go:build e2e

package chart

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestReport: what does nothing stands in a ConfigMap of the release, and usher lint --values says the same of the file.
func TestReport(t *testing.T) {
	usher := filepath.Join(t.TempDir(), "usher")
	build := exec.Command("go", "build", "-o", usher, "./cmd/usher")
	build.Dir = at()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob("testdata/old/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range append(files, Values("ingress-nginx"), Values("texts"), Values("report"), Values("default")) {
		report := render(t, "-f", file).Find("ConfigMap", "usher-values")
		text, _, _ := unstructured.NestedString(report.Object, "data", "ignored")
		want := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
		out, err := exec.Command(usher, "lint", "--values", file, "-o", "json").Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
			continue
		}
		var found []struct{ Outcome, Key, Message string }
		if err := json.Unmarshal(out, &found); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			if f.Outcome == "ignored" {
				got = append(got, f.Key+": "+f.Message)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: lint says\n%s\nthe ConfigMap has\n%s", file, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestReportNames: the lines that users look for.
func TestReportNames(t *testing.T) {
	report := render(t, "-f", Values("report")).Find("ConfigMap", "usher-values")
	text, _, _ := unstructured.NestedString(report.Object, "data", "ignored")
	for _, want := range []string{"controller.config.access-log-path: logging is set by flags\n", "controller.config.proxy-bodysize: there is no such key", "controller.allowSnippetAnnotations: "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if class, _, _ := unstructured.NestedString(report.Object, "data", "class"); class != "usher" {
		t.Errorf("class %q, want usher", class)
	}
}
