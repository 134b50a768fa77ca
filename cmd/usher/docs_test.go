package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/source"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const rootFolder = "../.."

// TestGeneratedPages: the pages in docs/ are what this program would write.
func TestGeneratedPages(t *testing.T) {
	for name, want := range generatedPages(newRoot(console{})) {
		got, err := os.ReadFile(filepath.Join(rootFolder, "docs", name))
		if err != nil || string(got) != want {
			t.Errorf("docs/%s is stale; run `make docs` (%v)", name, err)
		}
	}
}

// TestReadme: what README shows of `usher explain` is what it prints.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(rootFolder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```console\n\\$ usher (.*?)\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("README shows no command of usher")
	}
	t.Chdir(rootFolder)
	var out bytes.Buffer
	run(t.Context(), strings.Fields(string(block[1])), console{out: &out, err: &out})
	if !strings.HasPrefix(out.String(), string(block[2])) {
		t.Errorf("usher %s prints\n%s\nREADME shows\n%s", block[1], &out, block[2])
	}
}

// TestManifests: every manifest that anybody is shown can be read, and is wrong only where it says so.
func TestManifests(t *testing.T) {
	wrong := map[string]string{ // what is meant to be wrong, by the message
		"Service demo/chekout does not exist":    "the quickstart's mistake to explain",
		"Secret default/www-tls does not exist":  "made by cert-manager",
		"Secret default/grpc-tls does not exist": "made by whoever follows the README",
	}
	seen := 0
	for name, s := range manifests(t) {
		seen++
		for _, p := range s.Problems {
			t.Errorf("%s: %s: %s", name, p.Where, p.Message)
		}
		table := resolve.New(resolve.Options{ControllerClass: ownController, IngressClass: "usher", AllowLoopback: true, ACME: true}).Resolve(s, time.Now())
		for _, d := range table.Diagnostics {
			if d.Severity != route.Info && wrong[d.Message] == "" {
				t.Errorf("%s: %s", name, d)
			}
		}
		if len(s.Ingresses) > 0 && len(table.Hosts.All()) == 0 && table.Default == nil {
			t.Errorf("%s: its Ingresses serve nothing", name)
		}
	}
	if seen < 8 {
		t.Errorf("only %d sets of manifests found", seen)
	}
}

// manifests reads each folder below examples/, and each YAML block of the Markdown files.
func manifests(t *testing.T) map[string]*object.Snapshot {
	t.Helper()
	all := map[string]*object.Snapshot{}
	folders, err := filepath.Glob(filepath.Join(rootFolder, "examples", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		all[folder] = source.ReadBytes(folder, asInCluster(t, folder))
	}
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$|<<'YAML'\n(.*?)^YAML$")
	for name, text := range pages(t) {
		for i, m := range block.FindAllStringSubmatch(text, -1) {
			all[name+" block "+string(rune('1'+i))] = source.ReadBytes(name, []byte(m[1]+m[2]))
		}
	}
	return all
}

// asInCluster is what a folder's manifests are in a cluster: with Usher's IngressClass, and an EndpointSlice for each Service that
// selects Pods of a Deployment which has its ports. Files of the chart's values are no manifests.
func asInCluster(t *testing.T, folder string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, file := range files {
		if strings.HasSuffix(file, "values.yaml") {
			continue
		}
		manifest, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, "\n---\n"...), manifest...)
	}
	if !bytes.Contains(text, []byte("kind: IngressClass\n")) {
		text = append(text, "\n---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: usher}, spec: {controller: usher.dev/ingress-controller}}\n"...)
	}
	var deployments []appsv1.Deployment
	var services []corev1.Service
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var d appsv1.Deployment
		var s corev1.Service
		if yaml.Unmarshal([]byte(document), &d) == nil && d.Kind == "Deployment" {
			deployments = append(deployments, d)
		} else if yaml.Unmarshal([]byte(document), &s) == nil && s.Kind == "Service" && s.Spec.Selector != nil {
			services = append(services, s)
		}
	}
	for _, s := range services {
		text = append(text, endpointSlice(t, folder, s, deployments)...)
	}
	return text
}

// endpointSlice is the one that a cluster would write for a Service with one port that is named.
func endpointSlice(t *testing.T, folder string, s corev1.Service, deployments []appsv1.Deployment) string {
	t.Helper()
	for _, d := range deployments {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
			if port.Name == s.Spec.Ports[0].TargetPort.String() {
				return fmt.Sprintf("\n---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4, "+
					"ports: [{name: %[2]s, port: %[3]d}], endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]}\n", s.Name, s.Spec.Ports[0].Name, port.ContainerPort)
			}
		}
	}
	t.Errorf("%s: Service %s finds no Pod with its port", folder, s.Name)
	return ""
}

// pages are the Markdown files of the repository by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(rootFolder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			text, err := os.ReadFile(path)
			all[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLinks: a link to a file of the repository leads somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			}
		}
	}
}

// TestNames: flags and metrics that the pages name exist.
func TestNames(t *testing.T) {
	flags := map[string]bool{"help": true, "healthz-port": true, "healthz-host": true, "image": true} // the last one is of kubectl
	for _, c := range newRoot(console{}).Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
	}
	known := map[string]bool{}
	for _, d := range metrics.New(metrics.Build{}, metrics.Options{}).Catalogue() {
		known[d.Name] = true
	}
	flag := regexp.MustCompile("`(?:[^`\n]* )?--([a-z0-9_-]+)[^`\n]*`")
	metric := regexp.MustCompile(`\busher_[a-z0-9_]+[a-z0-9]`)
	for name, text := range pages(t) {
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			if !flags[m[1]] {
				t.Errorf("%s: there is no flag --%s", name, m[1])
			}
		}
		for _, m := range metric.FindAllString(text, -1) {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_sum"), "_count")
			if !known[m] && !known[base] {
				t.Errorf("%s: there is no metric %s", name, m)
			}
		}
	}
}
