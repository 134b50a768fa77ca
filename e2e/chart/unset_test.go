//go:build e2e

package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestUnset: each key of the schema may be null, and may be the empty one of its type: the chart renders, or says which key it is about.
func TestUnset(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, "charts", "usher", "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	paths := make(chan property)
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for path := range paths {
				unset(t, path.names, "null")
				unset(t, path.names, path.empty)
			}
		})
	}
	for _, path := range propertyPaths(schema, nil) {
		paths <- path
	}
	close(paths)
	workers.Wait()
}

// switches are what has to be on for other values to count.
const switches = `
controller: {autoscaling: {enabled: true}, hostPort: {enabled: true}, lifecycle: {preStop: {sleep: {seconds: 1}}},
  acme: {email: a@b.example, externalAccount: {keyID: k, secretName: s}, dns: {server: "192.0.2.1:53", secretName: d}}, service: {internal: {enabled: true}},
  metrics: {serviceMonitor: {enabled: true}, podMonitor: {enabled: true}, prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}}}
defaultBackend: {enabled: true, image: {repository: registry.example/404}}
`

func unset(t *testing.T, path []string, nothing string) {
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(switches), &values); err != nil {
		t.Error(err)
		return
	}
	var value any
	_ = yaml.Unmarshal([]byte(nothing), &value)
	at := values
	for _, name := range path[:len(path)-1] {
		below, ok := at[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			at[name] = below
		}
		at = below
	}
	at[path[len(path)-1]] = value
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Error(err)
		return
	}
	name := strings.Join(path, ".")
	file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.yaml", len(name)))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Error(err)
		return
	}
	if _, err := Render("usher", "-f", file); err != nil && !refusesKey(err.Error(), path) {
		t.Errorf("%s: %s: %v", name, nothing, err)
	}
}

// refusesKey reports whether a message is about this key, and is none about a template.
func refusesKey(message string, path []string) bool {
	if strings.Contains(message, "nil pointer") || strings.Contains(message, "wrong type") || strings.Contains(message, "error calling include") && !strings.Contains(message, "error calling fail") {
		return false
	}
	return strings.Contains(message, "/"+strings.Join(path, "/")) || strings.Contains(message, strings.Join(path, ".")) || strings.Contains(message, strings.Join(path[:len(path)-1], ".")+": want ")
}

// property is a key of the schema, and what is empty of its type.
type property struct {
	names []string
	empty string
}

func propertyPaths(schema map[string]any, path []string) (paths []property) {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		p := p.(map[string]any)
		if p["description"] != nil {
			continue // ingress-nginx's, of any type
		}
		below := append(append([]string{}, path...), name)
		paths = append(paths, property{below, emptyOf(p)})
		paths = append(paths, propertyPaths(p, below)...)
	}
	return paths
}

func emptyOf(p map[string]any) string {
	ref, _ := p["$ref"].(string)
	switch {
	case p["type"] == "array" || strings.HasSuffix(ref, "/objects") || strings.HasSuffix(ref, "/names"):
		return "[]"
	case p["type"] == "object" || strings.HasSuffix(ref, "/strings") || strings.HasSuffix(ref, "/scalars") || strings.HasSuffix(ref, "/object"):
		return "{}"
	}
	return `""`
}
