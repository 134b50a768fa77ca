//go:build e2e

package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(at(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// oldValue is a record of files/old-values.yaml.
type oldValue struct {
	Key     string
	Why     string
	Quiet   []any
	Refused bool
}

func oldValues(t *testing.T) (old []oldValue) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(read(t, "charts", "usher", "files", "old-values.yaml")), &old); err != nil {
		t.Fatal(err)
	}
	return old
}

// TestSchemaIsOfTheValues: each key of the schema is in values.yaml, or is one of ingress-nginx's that does nothing. The other
// direction helm holds: values.yaml has to fit the schema.
func TestSchemaIsOfTheValues(t *testing.T) {
	var schema, values map[string]any
	if err := json.Unmarshal([]byte(read(t, "charts", "usher", "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(read(t, "charts", "usher", "values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	known := []string{ // what has no default
		"livenessProbe.terminationGracePeriodSeconds", "readinessProbe.terminationGracePeriodSeconds", "readinessProbe.failureThreshold",
		"startupProbe.initialDelaySeconds", "startupProbe.periodSeconds", "startupProbe.timeoutSeconds", "startupProbe.successThreshold",
		"startupProbe.failureThreshold", "startupProbe.terminationGracePeriodSeconds", "service.internal.ports.http", "service.internal.ports.https",
	}
	for _, old := range oldValues(t) {
		known = append(known, strings.TrimPrefix(old.Key, "controller."))
	}
	for _, shared := range strings.Fields("enableHttp enableHttps targetPorts appProtocol sessionAffinity internalTrafficPolicy trafficDistribution ipFamilyPolicy ipFamilies allocateLoadBalancerNodePorts") {
		known = append(known, "service.internal."+shared)
	}
	missing := keys(schema, values, "")
	for _, key := range missing {
		short := strings.TrimPrefix(strings.TrimPrefix(key, "controller."), "defaultBackend.")
		if !slices.ContainsFunc(known, func(k string) bool { return k == short || k == key || strings.HasPrefix(short, k+".") }) {
			t.Errorf("the schema has %s, values.yaml has not", key)
		}
	}
}

// keys are the properties of the schema that the values lack.
func keys(schema map[string]any, values any, path string) (missing []string) {
	properties, _ := schema["properties"].(map[string]any)
	have, _ := values.(map[string]any)
	for name, property := range properties {
		below := strings.TrimPrefix(path+"."+name, ".")
		value, ok := have[name]
		if !ok {
			missing = append(missing, below)
		}
		missing = append(missing, keys(property.(map[string]any), value, below)...)
	}
	return missing
}

// TestFlags: the chart names no flag that usher serve has not, and keeps those to itself that it sets.
func TestFlags(t *testing.T) {
	serve := read(t, "docs", "flags.md")
	_, serve, _ = strings.Cut(serve, "## usher serve")
	listed := "\n" + read(t, "charts", "usher", "files", "own-flags.yaml")
	own := listed + read(t, "charts", "usher", "templates", "_args.tpl")
	aliases := []string{"healthz-port", "healthz-host"}
	for _, m := range regexp.MustCompile(`(?m)^(?:- --)?([a-z0-9]+(?:-[a-z0-9]+)+)[:=\n]`).FindAllStringSubmatch(own, -1) {
		if !strings.Contains(serve, "`--"+m[1]+"`") && !slices.Contains(aliases, m[1]) {
			t.Errorf("usher serve has no flag --%s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^- --([a-z0-9-]+)`).FindAllStringSubmatch(own, -1) {
		if !strings.Contains(listed, "\n"+m[1]+": ") {
			t.Errorf("--%s is set by the chart, but extraArgs may set it too", m[1])
		}
	}
}

var (
	metricName  = regexp.MustCompile(`\busher_[a-z0-9_]+`)
	metricLabel = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"|by \(([\w, ]+)\)`)
	documented  = regexp.MustCompile("(?m)^\\| `(usher_[a-z0-9_]+)` \\| (\\w+) \\| ([\\w ]*) \\| (.*) \\|")
)

// TestMetrics: alerts and dashboard ask for metrics and labels that there are.
func TestMetrics(t *testing.T) {
	metrics, labels := map[string]bool{}, []string{"namespace", "pod", "le"}
	for _, m := range documented.FindAllStringSubmatch(read(t, "docs", "metrics.md"), -1) {
		metrics[m[1]] = true
		metrics[m[1]+"_bucket"] = m[2] == "histogram" || strings.Contains(m[4], "A histogram with --")
		if m[2] == "histogram" || m[2] == "summary" {
			metrics[m[1]+"_sum"], metrics[m[1]+"_count"] = true, true
		}
		labels = append(labels, strings.Fields(m[3])...)
	}
	if len(metrics) < 20 {
		t.Fatalf("docs/metrics.md has %d metrics only", len(metrics))
	}
	for _, expression := range expressions(t) {
		for _, name := range metricName.FindAllString(expression, -1) {
			if !metrics[name] {
				t.Errorf("there is no metric %s: %s", name, expression)
			}
		}
		for _, m := range metricLabel.FindAllStringSubmatch(expression, -1) {
			for _, label := range strings.Split(m[1]+m[2], ",") {
				if label = strings.TrimSpace(label); !slices.Contains(labels, label) {
					t.Errorf("no metric has a label %q: %s", label, expression)
				}
			}
		}
	}
}

// expressions is the PromQL of the rendered alerts and of the dashboard.
func expressions(t *testing.T) (all []string) {
	t.Helper()
	release := render(t, "--set", "controller.metrics.prometheusRule.enabled=true,controller.metrics.grafanaDashboard.enabled=true")
	groups, _, _ := unstructured.NestedSlice(release.Find("PrometheusRule", "usher").Object, "spec", "groups")
	for _, rule := range groups[0].(map[string]any)["rules"].([]any) {
		all = append(all, rule.(map[string]any)["expr"].(string))
	}
	text, _, _ := unstructured.NestedString(release.Find("ConfigMap", "usher-dashboard").Object, "data", "usher.json")
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, target.Expr)
		}
	}
	if len(all) < 30 {
		t.Errorf("%d expressions only", len(all))
	}
	return all
}

// TestEnd: a replica that ends has the time that it is told it has, and is not taken from its Service before it stops to serve.
func TestEnd(t *testing.T) {
	for _, name := range []string{"default", "everything", "ingress-nginx"} {
		pod := pod(t, render(t, "-f", Values(name)))
		container := pod["containers"].([]any)[0].(map[string]any)
		delay, grace := flagSeconds(t, container, "shutdown-delay"), flagSeconds(t, container, "shutdown-grace-period")
		hook, _, _ := unstructured.NestedInt64(container, "lifecycle", "preStop", "sleep", "seconds")
		if total := pod["terminationGracePeriodSeconds"].(int64); hook+delay+grace >= total {
			t.Errorf("%s: hook %d, delay %d and grace %d s leave nothing of %d", name, hook, delay, grace, total)
		}
		probe := container["readinessProbe"].(map[string]any)
		if failing := probe["failureThreshold"].(int64) * probe["periodSeconds"].(int64); failing <= delay {
			t.Errorf("%s: the Pod counts as not serving after %d s, but it serves for %d", name, failing, delay)
		}
	}
}

func pod(t *testing.T, release *Release) map[string]any {
	t.Helper()
	for _, object := range release.Objects {
		spec, _, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec")
		if _, ours := spec["terminationGracePeriodSeconds"]; ours { // not the default backend's
			return spec
		}
	}
	t.Fatal("no Pod")
	return nil
}

func flagSeconds(t *testing.T, container map[string]any, flag string) int64 {
	t.Helper()
	for _, argument := range container["args"].([]any) {
		if value, ok := strings.CutPrefix(argument.(string), "--"+flag+"="); ok {
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return seconds
		}
	}
	t.Fatalf("no flag %s", flag)
	return 0
}

// TestConfigKeys: the chart knows which keys of the ConfigMap are not honoured.
func TestConfigKeys(t *testing.T) {
	before, table, _ := strings.Cut(read(t, "docs", "configmap.md"), "## Recognised and not honoured")
	_, first, _ := strings.Cut(before, "## Honoured")
	var honoured, needless, ignored, closing []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(first, -1) {
		honoured = append(honoured, m[1])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\| (\\S+) \\| (.*) \\|").FindAllStringSubmatch(table, -1) {
		switch {
		case m[2] == "no-effect": // nothing is lost
			needless = append(needless, fmt.Sprintf("%s: %q", m[1], strings.ReplaceAll(m[4], "\\|", "|")))
		case m[3] == "deny":
			closing = append(closing, m[1])
		default:
			ignored = append(ignored, m[1])
		}
	}
	if len(ignored) < 10 || len(closing) < 3 {
		t.Fatalf("%d and %d keys only", len(ignored), len(closing))
	}
	text := "# Keys of the ConfigMap. Usher does not honour those that are ignored, and closing, which restrict access and so close every path. What needless\n# ones ask for needs no key.\n" +
		"# Generated by `go test -tags e2e ./e2e/chart -update` from docs/configmap.md; do not edit.\n" +
		"ignored:\n  - " + strings.Join(ignored, "\n  - ") + "\nclosing:\n  - " + strings.Join(closing, "\n  - ") +
		"\nhonoured:\n  - " + strings.Join(honoured, "\n  - ") + "\nneedless:\n  " + strings.Join(needless, "\n  ") + "\n"
	compare(t, filepath.Join(Dir(), "files", "config-keys.yaml"), []byte(text))
}

// TestReadme: the chart's README lists what is not honoured of ingress-nginx's values.
func TestReadme(t *testing.T) {
	const begin, end = "<!-- Generated by `go test -tags e2e ./e2e/chart -update`; do not edit. -->\n", "<!-- End of the generated part. -->\n"
	readme := read(t, "charts", "usher", "README.md")
	before, rest, ok := strings.Cut(readme, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the marks of the generated part are missing")
	}
	var b strings.Builder
	b.WriteString("\n| value | what becomes of it | why |\n|---|---|---|\n")
	for _, old := range oldValues(t) {
		outcome := "ignored, and said"
		if old.Refused {
			outcome = "refused"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", old.Key, outcome, old.Why)
	}
	b.WriteString("\n")
	compare(t, filepath.Join(Dir(), "README.md"), []byte(before+begin+b.String()+end+after))
}
