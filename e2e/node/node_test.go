//go:build e2e

package node

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
	"github.com/usher-ingress/usher/e2e/traffic"
)

// TestNode is one story on one node, in this order, since a node is not started for nothing.
func TestNode(t *testing.T) {
	r := newRig(t)
	for _, chapter := range []struct {
		name string
		test func(*rig)
	}{
		{"install", (*rig).testInstall},
		{"client address", (*rig).testClientAddress},
		{"status", (*rig).testStatus},
		{"commands in the Pod", (*rig).testCommands},
		{"mistakes", (*rig).testMistakes},
		{"rolling update of the application", (*rig).testRollingUpdate},
		{"upgrade of Usher", (*rig).testUpgrade},
		{"the only replica", (*rig).testOnlyReplica},
		{"TCP on Usher's ports", (*rig).testTakenPorts},
		{"uninstall", (*rig).testUninstall},
		{"the node's own network", (*rig).testHostNetwork},
	} {
		if !t.Run(chapter.name, func(t *testing.T) {
			r := *r
			r.t = t
			chapter.test(&r)
		}) {
			return
		}
	}
}

// The ports of the node by which Usher is reached first.
const nodePorts = "controller.service.nodePorts.http=30080,controller.service.nodePorts.https=30443"

var entrance = net.JoinHostPort(cluster.NodeAddress, "30080")

// testInstall installs the chart into a namespace that takes restricted Pods only, and an application.
func (r *rig) testInstall() {
	r.kubectl(`{apiVersion: v1, kind: Namespace, metadata: {name: usher, labels: {pod-security.kubernetes.io/enforce: restricted}}}`, "apply", "-f", "-")
	r.install("1", "--set", "controller.service.type=NodePort,"+nodePorts)
	r.kubectl(app("web", 3, "one"), "apply", "-f", "-")
	r.kubectl("", "rollout", "status", "deployment/web", "--timeout="+patience.String())
	r.expect("http://web.example/", entrance, "200 one")

	pods := r.kubectl("", "-n", "usher", "get", "pods", "-l", "app.kubernetes.io/component=controller", "-o", "jsonpath={range .items[*]}{.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount} {end}")
	if strings.TrimSpace(pods) != "true 0 true 0" {
		r.t.Errorf("replicas are ready and restarted: %s", pods)
	}
	for _, object := range []string{"networkpolicy", "poddisruptionbudget", "deployment"} {
		r.kubectl("", "-n", "usher", "get", object, "usher")
	}
}

// testClientAddress: whom the application sees, through kube-proxy. With Cluster a node passes connections on under its own address.
func (r *rig) testClientAddress() {
	got, err := r.get("http://web.example/client", entrance)
	if err != nil || got == "200 "+OutsideAddress || !strings.HasPrefix(got, "200 ") {
		r.t.Errorf("with externalTrafficPolicy Cluster the client is %q (%v), want an address of the node", got, err)
	}
	r.install("1", "--set", "controller.service.type=NodePort,controller.service.externalTrafficPolicy=Local,"+nodePorts)
	r.expect("http://web.example/client", entrance, "200 "+OutsideAddress)
	r.install("1") // a LoadBalancer, which is Local unless told otherwise
	r.expect("http://web.example/client", net.JoinHostPort(r.balancer(), "80"), "200 "+OutsideAddress)
}

// testStatus: kubectl shows the address of the Service.
func (r *rig) testStatus() {
	address := r.balancer()
	r.await(func() error {
		out, err := r.tryKubectl("", "get", "ingress", "web")
		if err == nil && !strings.Contains(out, address) {
			err = fmt.Errorf("kubectl get ingress shows no %s:\n%s", address, out)
		}
		return err
	})
}

// explain asks a replica, as the chart's notes tell to.
func (r *rig) explain(url string) (string, error) {
	return r.tryKubectl("", "-n", "usher", "exec", "deployment/usher", "--", "/usher", "explain", "--admin", "127.0.0.1:10254", url)
}

// testCommands runs what the notes tell to run.
func (r *rig) testCommands() {
	out, err := r.explain("http://web.example/")
	if err != nil || !strings.Contains(out, "default/web") {
		r.t.Errorf("usher explain: %v\n%s", err, out)
	}
	if out, err := r.tryKubectl("", "-n", "usher", "exec", "deployment/usher", "--", "/usher", "lint"); err != nil {
		r.t.Errorf("usher lint, with the rights of the Pod: %v\n%s", err, out)
	}
}

// mistake is what is changed of an application that works, how requests are then answered, and which reason usher explain and an Event
// give, with what names the cause.
type mistake struct {
	old, wrong, answer, reason, cause string
}

// mistakes are the classic ones. That no container declares a port is a warning, since something may listen there nevertheless.
var mistakes = map[string]mistake{
	"selector": {"spec: {selector: {app: selector}", "spec: {selector: {app: slector}", "503 selector-matches-nothing", "selector-matches-nothing", "app=slector"},
	"port":     {"targetPort: http", "targetPort: htpp", "503 target-port-mismatch", "target-port-mismatch", "htpp"},
	"number":   {"targetPort: http", "targetPort: 8081", "502 endpoint-refused", "target-port-mismatch", "8081"},
	"readiness": {"readinessProbe: {httpGet: {path: /healthz, port: 8080}", "readinessProbe: {httpGet: {path: /healthz, port: 8081}",
		"503 no-ready-endpoints", "no-ready-endpoints", "readiness probe"},
}

// inEvents is a reason as Events have it: NoReadyEndpoints.
func inEvents(reason string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(reason, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// testMistakes makes each of them, with Pods watched, and expects its reason from the answer, from usher explain and from an Event on the
// Ingress.
func (r *rig) testMistakes() {
	r.install("1", "--set", "controller.explainPods=true")
	balancer := net.JoinHostPort(r.balancer(), "80")
	for name, m := range mistakes {
		manifest := app(name, 1, name)
		wrong := strings.Replace(manifest, m.old, m.wrong, 1)
		if wrong == manifest {
			r.t.Fatalf("%s: %q is not in the manifest", name, m.old)
		}
		r.kubectl(wrong, "apply", "-f", "-")
	}
	for name, m := range mistakes {
		url := "http://" + name + ".example/"
		r.expect(url, balancer, m.answer)
		out, _ := r.explain(url) // its exit status is that of an answer by Usher
		if !strings.Contains(out, m.reason) || !strings.Contains(out, m.cause) {
			r.t.Errorf("usher explain %s does not say %s and %s:\n%s", url, m.reason, m.cause, out)
		}
		r.await(func() error {
			events, err := r.client.CoreV1().Events("default").List(r.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Ingress,involvedObject.name=" + name})
			if err != nil {
				return err
			}
			for _, e := range events.Items {
				if e.Type == corev1.EventTypeWarning && e.Reason == inEvents(m.reason) && strings.Contains(e.Message, m.cause) {
					return nil
				}
			}
			return fmt.Errorf("no Event %s on Ingress %s: %v", inEvents(m.reason), name, events.Items)
		})
	}
	for name := range mistakes {
		r.kubectl(app(name, 1, name), "delete", "-f", "-", "--wait=false")
	}
}

// rate is how many requests a second the loads aim at: the node, its control plane and the clients share one machine.
const rate = 400

// underLoad counts what fails while something is done.
func (r *rig) underLoad(do func()) {
	r.t.Helper()
	balancer := r.balancer()
	r.expect("http://web.example/healthz", net.JoinHostPort(balancer, "80"), "200 ")
	site := &traffic.Site{Host: "web.example", Address: balancer, Restarts: true, Dial: Outside}
	load := traffic.Start(site.Mixed(rate)...)
	began := time.Now()
	if err := load.Await(r.t.Context(), 20); err != nil {
		r.t.Error(err)
	}
	do()
	if err := load.Await(r.t.Context(), 20); err != nil {
		r.t.Error(err)
	}
	report := load.End()
	r.t.Logf("%s; it took %.1f s", report, time.Since(began).Seconds())
	for i, f := range report.Failures {
		if i == 20 {
			break
		}
		r.t.Errorf("%s %s: %v", f.At.Format("05.000"), f.Kind, f.Err)
	}
}

// gone waits until no Pod of these labels is on its way out.
func (r *rig) gone(namespace, selector string, pods int) {
	r.t.Helper()
	r.await(func() error {
		list, err := r.client.CoreV1().Pods(namespace).List(r.t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err == nil && len(list.Items) != pods {
			err = fmt.Errorf("%d Pods %s, want %d", len(list.Items), selector, pods)
		}
		return err
	})
}

func (r *rig) testRollingUpdate() {
	r.underLoad(func() {
		r.kubectl(app("web", 3, "two"), "apply", "-f", "-")
		r.kubectl("", "rollout", "status", "deployment/web", "--timeout="+patience.String())
		r.gone("default", "app=web", 3)
	})
	r.expect("http://web.example/", net.JoinHostPort(r.balancer(), "80"), "200 two")
}

// testUpgrade replaces every replica of Usher by one of another image.
func (r *rig) testUpgrade() {
	const replicas = "app.kubernetes.io/component=controller"
	r.underLoad(func() {
		r.install("2")
		r.gone("usher", replicas, 2)
	})
	images := r.kubectl("", "-n", "usher", "get", "pods", "-l", replicas, "-o", "jsonpath={.items[*].spec.containers[0].image}")
	if want := usherImage + ":2 " + usherImage + ":2"; images != want {
		r.t.Errorf("the replicas run %s, want %s", images, want)
	}
}

// testOnlyReplica takes away the only replica, and the next one takes its time. Until it is ready, kube-proxy goes on sending to the one
// that ends, which it does only while the readiness probe has not failed: see controller.shutdownDelay of the chart.
func (r *rig) testOnlyReplica() {
	const replicas = "app.kubernetes.io/component=controller"
	r.install("2", "--set", "controller.replicaCount=1,controller.shutdownDelay=12,controller.readinessProbe.initialDelaySeconds=4")
	r.gone("usher", replicas, 1)
	old := r.kubectl("", "-n", "usher", "get", "pods", "-l", replicas, "-o", "jsonpath={.items[0].metadata.name}")
	r.underLoad(func() {
		r.kubectl("", "-n", "usher", "delete", "pod", old, "--wait=false")
		r.await(func() error { return r.succeeded(old) })
		r.gone("usher", replicas, 1)
	})
}

// succeeded returns nil when another Pod than old is ready behind Usher's Service. That nobody serves before that is an error of the test.
func (r *rig) succeeded(old string) error {
	slices, err := r.client.DiscoveryV1().EndpointSlices("usher").List(r.t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=usher"})
	if err != nil {
		return err
	}
	serving, succeeded := false, false
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			serving = serving || *e.Conditions.Serving
			succeeded = succeeded || *e.Conditions.Ready && e.TargetRef.Name != old
		}
	}
	if !serving {
		r.t.Fatalf("no endpoint of Usher is serving: %v", slices.Items)
	}
	if !succeeded {
		return fmt.Errorf("no other Pod than %s is ready", old)
	}
	return nil
}

// testTakenPorts: TCP services have the ports that Usher itself has inside the Pod, which moves out of their way.
func (r *rig) testTakenPorts() {
	r.install("2", "--set", "controller.replicaCount=1,tcp.8080=default/web:80,tcp.8443=default/web:80,tcp.10254=default/web:80")
	balancer := r.balancer()
	for _, port := range []string{"80", "8080", "8443", "10254"} {
		r.expect("http://web.example/", net.JoinHostPort(balancer, port), "200 two")
	}
}

// testHostNetwork: as root with one capability Usher has the node's ports 80 and 443, and status has the node's address.
func (r *rig) testHostNetwork() {
	r.kubectl("", "label", "namespace", "usher", "--overwrite", "pod-security.kubernetes.io/enforce=privileged")
	r.install("1", "--set", "controller.kind=DaemonSet,controller.hostNetwork=true,controller.hostPort.enabled=true,controller.service.enabled=false,controller.reportNodeInternalIp=true")
	r.expect("http://web.example/", net.JoinHostPort(cluster.NodeAddress, "80"), "200 two")
	r.await(func() error {
		out, err := r.tryKubectl("", "get", "ingress", "web", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}")
		if err == nil && out != cluster.NodeAddress {
			err = fmt.Errorf("status has %q, want %s", out, cluster.NodeAddress)
		}
		return err
	})
	user := r.kubectl("", "-n", "usher", "get", "pods", "-l", "app.kubernetes.io/component=controller", "-o",
		"jsonpath={.items[0].spec.containers[0].securityContext.runAsUser} {.items[0].spec.containers[0].securityContext.capabilities.add}")
	if user != `0 ["NET_BIND_SERVICE"]` {
		r.t.Errorf("user and capabilities are %s", user)
	}
	if out, err := r.helm("uninstall", "usher", "--namespace", "usher", "--wait"); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
}

// testUninstall leaves nothing that has no namespace.
func (r *rig) testUninstall() {
	if out, err := r.helm("uninstall", "usher", "--namespace", "usher", "--wait"); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	left := r.kubectl("", "get", "clusterroles,clusterrolebindings,ingressclasses", "-l", "app.kubernetes.io/instance=usher", "-o", "name")
	if left != "" {
		r.t.Errorf("these are left: %s", left)
	}
}
