//go:build e2e

package e2e

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestScopeIsNotRefused: with the Roles that the chart makes for rbac.scope, and the flags that it gives, hardly anything is asked for
// that is refused: what may not be read is asked for once a minute.
func TestScopeIsNotRefused(t *testing.T) {
	s := emptyScene(t)
	s.account()
	release := s.render(s.system, "--set", "controller.scope.enabled=true,controller.scope.namespace="+s.namespace+",rbac.scope=true,controller.ingressClassResource.name="+s.class)
	var flags []string
	for _, object := range release.Objects {
		switch object.GetKind() {
		case "ServiceAccount", "IngressClass": // there are those of the scene
		case "Deployment":
			flags = chartFlags(object, s.system)
			fallthrough
		case "Role", "RoleBinding", "ConfigMap", "Service":
			one := *release
			one.Objects = []*unstructured.Unstructured{object}
			s.create(&one)
		}
	}
	s.backend("web")
	s.route("web", "scope.example", "/", "web")
	u := s.start(flags...)
	u.expect("http://scope.example/", "web")
	before := refusals(t)
	time.Sleep(time.Minute) // a rate is measured
	if refused := refusals(t) - before; refused > 2 {
		t.Errorf("%v requests were refused in a minute, want 2 at most:\n%s", refused, u.tail())
	} else {
		t.Logf("%v requests were refused in a minute", refused)
	}
	if err := u.stop(); err != nil {
		t.Error(err)
	}
}

// chartFlags are the flags that the chart gives, but for those about ports, the zone and the end.
func chartFlags(deployment *unstructured.Unstructured, namespace string) (flags []string) {
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	arguments, _, _ := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	for _, argument := range arguments[1:] {
		flag, _, _ := strings.Cut(argument, "=")
		switch flag {
		case "--http-port", "--https-port", "--admin-port", "--zone", "--shutdown-delay", "--shutdown-grace-period":
		default:
			flags = append(flags, strings.ReplaceAll(argument, "$(POD_NAMESPACE)", namespace))
		}
	}
	return flags
}

// refusals is how many requests the API server has refused, of all clients.
func refusals(t *testing.T) (n float64) {
	t.Helper()
	text, err := theCluster.Client().Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "apiserver_request_total{") && strings.Contains(lines.Text(), `code="403"`) {
			value, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64)
			if err != nil {
				t.Fatal(err)
			}
			n += value
		}
	}
	return n
}
