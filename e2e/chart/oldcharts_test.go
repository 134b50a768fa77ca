//go:build e2e

package chart

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestOldCharts: values of ingress-nginx's charts, and of the providers it has files for, install as they are, but for the image.
func TestOldCharts(t *testing.T) {
	files, err := filepath.Glob("testdata/old/*.yaml")
	if err != nil || len(files) != 21 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			release := render(t, "-f", file)
			if release.Find("Deployment", "usher") == nil && release.Find("DaemonSet", "usher") == nil {
				t.Error("neither a Deployment nor a DaemonSet")
			}
		})
	}
}

// TestTexts: annotations, labels and keys of the ConfigMap need no quotes, and may be templates.
func TestTexts(t *testing.T) {
	release := render(t, "-f", Values("texts"))
	config, _, _ := unstructured.NestedStringMap(release.Find("ConfigMap", "usher").Object, "data")
	for key, want := range map[string]string{"use-forwarded-headers": "true", "proxy-body-size": "10000000", "hsts-max-age": "1.5", "custom": "usher-usher"} {
		if config[key] != want {
			t.Errorf("%s is %q, want %q", key, config[key], want)
		}
	}
	if _, ok := config["gone"]; ok {
		t.Error("a key that is null is in the ConfigMap")
	}
	annotations := release.Find("Service", "usher").GetAnnotations()
	if annotations["example.com/timeout"] != "60" || annotations["example.com/host"] != "usher.usher.example.com" || annotations["example.com/on"] != "true" {
		t.Errorf("annotations of the Service: %v", annotations)
	}
}

// TestHostNetwork: with ports of the host too, Usher listens on those, as root with one capability.
func TestHostNetwork(t *testing.T) {
	container := pod(t, render(t, "-f", Values("bare-metal")))["containers"].([]any)[0].(map[string]any)
	for i, want := range []int64{80, 443} {
		port := container["ports"].([]any)[i].(map[string]any)
		if port["containerPort"] != want || port["hostPort"] != want {
			t.Errorf("%v, want port %d of container and host", port, want)
		}
	}
	added, _, _ := unstructured.NestedStringSlice(container, "securityContext", "capabilities", "add")
	if user, _, _ := unstructured.NestedInt64(container, "securityContext", "runAsUser"); user != 0 || strings.Join(added, " ") != "NET_BIND_SERVICE" {
		t.Errorf("securityContext %v", container["securityContext"])
	}
	container = pod(t, render(t, "-f", Values("bare-metal"), "--set", "controller.lowPortsAllowed=true"))["containers"].([]any)[0].(map[string]any)
	if user, _, _ := unstructured.NestedInt64(container, "securityContext", "runAsUser"); user != 65532 {
		t.Errorf("the nodes allow low ports, but the container's user is %d", user)
	}
}

// TestTakenPorts: a TCP service may have a port that Usher itself has inside the Pod.
func TestTakenPorts(t *testing.T) {
	release := render(t, "--set", `tcp.8080=shop/a:1,tcp.8443=shop/b:2,tcp.10254=shop/c:3`)
	container := pod(t, release)["containers"].([]any)[0].(map[string]any)
	seen := map[any]string{}
	for _, port := range container["ports"].([]any) {
		port := port.(map[string]any)
		if other := seen[port["containerPort"]]; other != "" {
			t.Errorf("port %v is of %s and %s", port["containerPort"], other, port["name"])
		}
		seen[port["containerPort"]] = port["name"].(string)
	}
	for port, want := range map[int64]string{8080: "8080-tcp", 8443: "8443-tcp", 10254: "10254-tcp"} {
		if seen[port] != want {
			t.Errorf("port %d is of %q, want %s", port, seen[port], want)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d ports, want 6", len(seen))
	}
}

// TestFurther: Services, objects and KEDA besides.
func TestFurther(t *testing.T) {
	release := render(t, "-f", Values("further"))
	for kind, name := range map[string]string{"Service": "usher-vpn", "ConfigMap": "usher-note", "ScaledObject": "usher"} {
		if release.Find(kind, name) == nil {
			t.Errorf("no %s %s", kind, name)
		}
	}
	if release.Find("Secret", "plain") == nil {
		t.Error("no Secret plain")
	}
	spec := pod(t, release)
	if spec["hostUsers"] != false || spec["containers"].([]any)[0].(map[string]any)["envFrom"] == nil {
		t.Errorf("hostUsers %v", spec["hostUsers"])
	}
	deployment := release.Find("Deployment", "usher").Object["spec"].(map[string]any)
	if _, ok := deployment["replicas"]; ok {
		t.Error("KEDA scales, but the Deployment has a number of replicas")
	}
}

// TestAllRefused: what is refused is refused at once.
func TestAllRefused(t *testing.T) {
	_, err := Render("usher", "--set", "rbac.scope=true,controller.extraModules[0].name=a,controller.extraArgs.nosuch=1,controller.extraArgs.profiling=maybe,tcp.80=a/b:1,controller.image.registry=registry.k8s.io")
	for _, want := range []string{"rbac.scope: ", "controller.extraModules: ", "controller.extraArgs.nosuch: usher serve has no such flag", `controller.extraArgs.profiling "maybe": want true or false`,
		"tcp.80: controller.service.ports.http is this port too", "controller.image: registry.k8s.io"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestShortEnd: a Pod with little time to end has a delay and time for requests in flight that fit; with 0 it ends at once.
func TestShortEnd(t *testing.T) {
	for _, c := range []struct {
		set          string
		delay, grace int64
	}{
		{"controller.terminationGracePeriodSeconds=0", 0, 0},
		{"controller.terminationGracePeriodSeconds=1", 0, 0},
		{"controller.terminationGracePeriodSeconds=5", 3, 1},
		{"controller.terminationGracePeriodSeconds=10", 6, 2},
		{"controller.terminationGracePeriodSeconds=25", 15, 5},
		{"controller.terminationGracePeriodSeconds=26", 20, 1},
		{"controller.terminationGracePeriodSeconds=10,controller.shutdownDelay=2", 2, 6},
		{"controller.terminationGracePeriodSeconds=30,controller.lifecycle.preStop.sleep.seconds=20", 4, 1},
		{"controller.terminationGracePeriodSeconds=30,controller.lifecycle.preStop.sleep.seconds=40", 0, 0},
	} {
		release := render(t, "--set", c.set)
		spec := pod(t, release)
		container := spec["containers"].([]any)[0].(map[string]any)
		if delay, grace := flagSeconds(t, container, "shutdown-delay"), flagSeconds(t, container, "shutdown-grace-period"); delay != c.delay || grace != c.grace {
			t.Errorf("%s: delay %d, grace %d, want %d and %d", c.set, delay, grace, c.delay, c.grace)
		}
		adapted, _, _ := unstructured.NestedString(release.Find("ConfigMap", "usher-values").Object, "data", "adapted")
		short := c.delay != 20 && !strings.Contains(c.set, "shutdownDelay=2")
		if said := strings.Contains(adapted, "leaves no room for controller.shutdownDelay 20"); said != short || strings.Contains(release.Notes, "ADAPTED") != short {
			t.Errorf("%s: the ConfigMap says %q, notes\n%s", c.set, adapted, release.Notes)
		}
	}
}

// TestRedirectPort: the AWS file's tohttps listens, and no two ports are one.
func TestRedirectPort(t *testing.T) {
	release := render(t, "-f", filepath.Join("testdata", "old", "provider-aws-nlb-tls.yaml"))
	container := pod(t, release)["containers"].([]any)[0].(map[string]any)
	flags := map[string]int64{"http-port": 80, "https-port": 8443, "http-redirect-port": 2443}
	for flag, want := range flags {
		if got := flagSeconds(t, container, flag); got != want {
			t.Errorf("--%s=%d, want %d", flag, got, want)
		}
	}
	names := map[string]int64{}
	for _, p := range container["ports"].([]any) {
		port := p.(map[string]any)
		names[port["name"].(string)] = port["containerPort"].(int64)
	}
	if names["http"] != 80 || names["https"] != 8443 || names["tohttps"] != 2443 {
		t.Errorf("ports %v", names)
	}
	ports, _, _ := unstructured.NestedSlice(release.Find("Service", "usher").Object, "spec", "ports")
	for i, want := range []string{"tohttps", "http"} { // of http and of https
		if got := ports[i].(map[string]any)["targetPort"]; got != want {
			t.Errorf("port %d of the Service goes to %v, want %s", i, got, want)
		}
	}
	rules, _, _ := unstructured.NestedSlice(release.Find("NetworkPolicy", "usher").Object, "spec", "ingress")
	if open := rules[0].(map[string]any)["ports"].([]any); len(open) != 3 || open[2].(map[string]any)["port"] != "tohttps" {
		t.Errorf("the NetworkPolicy opens %v", open)
	}
}

// TestNodeAddresses: without a Service the nodes' addresses are published, with the rights that takes and no others.
func TestNodeAddresses(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"", ""},
		{"controller.publishService.enabled=false", "external"},
		{"controller.service.enabled=false", "external"},
		{"controller.publishService.enabled=false,controller.reportNodeInternalIp=true", "internal"},
		{"controller.publishService.enabled=false,controller.extraArgs.report-node-internal-ip-address=", "internal"},
		{"controller.publishService.enabled=false,controller.scope.enabled=true,rbac.scope=true", "internal"},
		{"controller.publishService.enabled=false,controller.extraArgs.publish-status-address=192.0.2.1", ""},
		{"controller.publishService.enabled=false,controller.extraArgs.update-status=false", ""},
	} {
		release := render(t, "--set", c.set)
		got := ""
		for _, argument := range pod(t, release)["containers"].([]any)[0].(map[string]any)["args"].([]any) {
			if value, ok := strings.CutPrefix(argument.(string), "--publish-node-addresses="); ok {
				got = value
			}
		}
		role, nodes := release.Find("Role", "usher-node-addresses") != nil, release.Find("ClusterRole", "usher-usher-nodes") != nil
		if got != c.want || role != (c.want != "") || nodes != (c.want == "external") {
			t.Errorf("%s: --publish-node-addresses=%s, Role %t, ClusterRole %t, want %q", c.set, got, role, nodes, c.want)
		}
	}
}

// TestIngressSelector: the value is the flag.
func TestIngressSelector(t *testing.T) {
	container := pod(t, render(t, "--set", `controller.ingressSelector=team=shop\,tier!=internal`))["containers"].([]any)[0].(map[string]any)
	if !slices.Contains(container["args"].([]any), any("--ingress-selector=team=shop,tier!=internal")) {
		t.Errorf("arguments %v", container["args"])
	}
}
