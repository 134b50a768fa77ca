//go:build e2e

package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/usher-ingress/usher/e2e/chart"
	"github.com/usher-ingress/usher/e2e/cluster"
)

// patience is how long a test waits for what takes seconds on an idle machine.
const patience = 2 * time.Minute

// rig is the cluster with its node, and who works with them.
type rig struct {
	t          *testing.T
	client     kubernetes.Interface
	kubeconfig string // the administrator's
}

// newRig starts everything; it ends with the test.
func newRig(t *testing.T) *rig {
	t.Helper()
	began := time.Now()
	c, err := cluster.Start(t.Context(), cluster.Options{Nodes: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	n, err := Start(t.Context(), c, images()...)
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	t.Cleanup(n.Stop)
	r := &rig{t: t, client: c.Client()}
	if r.kubeconfig, err = c.Identity("admin", "system:masters"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.Logs())
			t.Log(r.state())
		}
	})
	go r.balance(t.Context())
	t.Logf("a node from nothing in %.1f s", time.Since(began).Seconds())
	return r
}

// state is what there is, for a test that has failed.
func (r *rig) state() string {
	var b strings.Builder
	for _, arguments := range [][]string{
		{"get", "pods,services,endpointslices,ingresses", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", "usher", "-l", "app.kubernetes.io/name=usher", "--tail=20"},
	} {
		out, _ := r.command(cluster.Program("kubectl"), arguments...).CombinedOutput() // as much as there is
		b.Write(out)
	}
	return b.String()
}

// balance is what a cloud does: each Service of type LoadBalancer gets an address, which kube-proxy serves on the node.
func (r *rig) balance(ctx context.Context) {
	for next := 10; ctx.Err() == nil; {
		services, err := r.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err == nil {
			for _, s := range services.Items {
				if s.Spec.Type != corev1.ServiceTypeLoadBalancer || len(s.Status.LoadBalancer.Ingress) > 0 {
					continue
				}
				s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: fmt.Sprintf("198.18.0.%d", next)}}
				if _, err := r.client.CoreV1().Services(s.Namespace).UpdateStatus(ctx, &s, metav1.UpdateOptions{}); err == nil {
					next++
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (r *rig) command(program string, arguments ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"--kubeconfig", r.kubeconfig}, arguments...)...)
}

// kubectl runs kubectl and returns what it prints. input may be "".
func (r *rig) kubectl(input string, arguments ...string) string {
	r.t.Helper()
	out, err := r.tryKubectl(input, arguments...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) tryKubectl(input string, arguments ...string) (string, error) {
	cmd := r.command(cluster.Program("kubectl"), arguments...)
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s%s", strings.Join(arguments, " "), err, out.String(), problems.String())
	}
	return out.String(), nil
}

// install installs or upgrades Usher with the chart, and waits until all of it is ready.
func (r *rig) install(version string, arguments ...string) {
	r.t.Helper()
	out, err := r.helm(append([]string{
		"upgrade", "--install", "usher", chart.Dir(), "--namespace", "usher", "--wait", "--timeout", patience.String(),
		"--set", "controller.image.repository=" + usherImage, "--set-string", "controller.image.tag=" + version, "--set", "controller.image.pullPolicy=Never",
		// kube-proxy takes a second at most to notice; a load balancer of a cloud would take longer.
		"--set", "controller.shutdownDelay=6",
	}, arguments...)...)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
}

func (r *rig) helm(arguments ...string) (string, error) {
	out, err := chart.Helm(append(arguments, "--kubeconfig", r.kubeconfig)...).CombinedOutput()
	return string(out), err
}

// await calls check until it returns nil.
func (r *rig) await(check func() error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("not after %v: %v", patience, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// get asks for a URL from outside of the cluster, at an address and port instead of the URL's, and returns status, reason and body in a line.
func (r *rig) get(url, address string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return Outside(ctx, network, address)
	}
	client := http.Client{Transport: transport, Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if reason := response.Header.Get("X-Usher-Reason"); reason != "" {
		return fmt.Sprintf("%d %s", response.StatusCode, reason), nil
	}
	return fmt.Sprintf("%d %s", response.StatusCode, strings.TrimSpace(string(body))), nil
}

// expect waits until the URL is answered so.
func (r *rig) expect(url, address, want string) {
	r.t.Helper()
	r.await(func() error {
		got, err := r.get(url, address)
		if err == nil && got != want {
			err = fmt.Errorf("%s at %s is answered %q, want %q", url, address, got, want)
		}
		return err
	})
}

// balancer is the address of Usher's Service.
func (r *rig) balancer() string {
	r.t.Helper()
	var ip string
	r.await(func() error {
		service, err := r.client.CoreV1().Services("usher").Get(r.t.Context(), "usher", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(service.Status.LoadBalancer.Ingress) == 0 {
			return fmt.Errorf("Service usher has no address yet")
		}
		ip = service.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return ip
}

// app is the manifest of an application: a Deployment with probes, a Service and an Ingress for HOST, whose gRPC is at port 81.
func app(name string, replicas int, version string) string {
	return strings.NewReplacer("$NAME", name, "$REPLICAS", fmt.Sprint(replicas), "$VERSION", version, "$IMAGE", appImage).Replace(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: $NAME}
spec:
  replicas: $REPLICAS
  selector: {matchLabels: {app: $NAME}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: $NAME}}
    spec:
      containers:
        - name: app
          image: $IMAGE
          imagePullPolicy: Never
          env: [{name: USHER_E2E_POD, value: '{"Name": "$VERSION", "Work": 2000000, "Grace": 1500000000, "Journal": "/dev/null"}'}]
          ports: [{name: http, containerPort: 8080}, {name: grpc, containerPort: 9090}]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
          livenessProbe: {httpGet: {path: /healthz, port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: $NAME}
spec: {selector: {app: $NAME}, ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 81, targetPort: grpc}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: $NAME}
spec:
  ingressClassName: usher
  rules: [{host: $NAME.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: $NAME, port: {name: http}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: $NAME-rpc, annotations: {nginx.ingress.kubernetes.io/backend-protocol: GRPC}}
spec:
  ingressClassName: usher
  rules: [{host: $NAME.example, http: {paths: [{path: /zero.Echo, pathType: Prefix, backend: {service: {name: $NAME, port: {name: grpc}}}}]}}]
`)
}
