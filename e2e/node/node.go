//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// PauseImage holds the namespaces of Pods. It has to be among the images of a node.
const PauseImage = "e2e.local/pause:1"

const nodeName = "e2e-node"

// startTimeout is for a program to become ready on a busy machine.
const startTimeout = 2 * time.Minute

// Node is a machine that runs Pods.
type Node struct {
	cluster    *cluster.Cluster
	dir        string
	containerd *cluster.Process
	kubelet    *cluster.Process
	proxy      *cluster.Process
}

// Start starts a node of the cluster with images, which are tar files, and waits until it is ready.
func Start(ctx context.Context, c *cluster.Cluster, images ...string) (*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	n := &Node{cluster: c, dir: c.Dir()}
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return n.configure() },
		n.startContainerd,
		func(ctx context.Context) error { return n.load(ctx, images) },
		n.startKubelet,
	} {
		if err := step(ctx); err != nil {
			n.Stop()
			return nil, fmt.Errorf("%w\n%s", err, n.Logs())
		}
	}
	return n, nil
}

// Stop ends the node. Its containers go with the namespaces that the tests run in.
func (n *Node) Stop() {
	for _, p := range []*cluster.Process{n.kubelet, n.proxy, n.containerd} {
		p.Kill()
	}
}

// Logs is the end of what the node's programs have printed.
func (n *Node) Logs() string {
	var tails []string
	for _, p := range []*cluster.Process{n.containerd, n.kubelet, n.proxy} {
		if p != nil {
			tails = append(tails, p.Tail(10))
		}
	}
	return strings.Join(tails, "\n")
}

// configurations are the files that the programs read. {{.}} is the folder of everything.
var configurations = map[string]string{
	"containerd.toml": `version = 2
root = "{{.}}/containerd"
state = "{{.}}/containerd-state"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{{.}}/containerd.sock"
[ttrpc]
  address = "{{.}}/containerd.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{{.}}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + PauseImage + `"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "` + plugins + `"
    conf_dir = "{{.}}/cni"
`,
	"cni/10-e2e.conflist": `{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "{{.}}/cni-addresses",
    "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`,
	// Version 1 of cgroups will do. Disks are not watched: a full one would evict Pods and delete images.
	"kubelet.yaml": `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
containerRuntimeEndpoint: unix://{{.}}/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: {{.}}/ca.crt}}
authorization: {mode: Webhook}
clusterDomain: cluster.local
resolvConf: {{.}}/resolv.conf
podLogsDir: {{.}}/pod-logs
volumePluginDir: {{.}}/volume-plugins
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 50Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 5s
`,
	"resolv.conf": "",
}

func (n *Node) configure() error {
	for name, text := range configurations {
		path := filepath.Join(n.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		var b strings.Builder
		if err := template.Must(template.New(name).Parse(text)).Execute(&b, n.dir); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) ctr(ctx context.Context, arguments ...string) error {
	ctr := exec.CommandContext(ctx, "ctr", append([]string{"-a", filepath.Join(n.dir, "containerd.sock"), "-n", "k8s.io"}, arguments...)...)
	if out, err := ctr.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", ctr, err, out)
	}
	return nil
}

func (n *Node) startContainerd(ctx context.Context) (err error) {
	n.containerd, err = cluster.StartProcess(n.dir, "containerd", exec.Command("containerd", "-c", filepath.Join(n.dir, "containerd.toml")))
	if err != nil {
		return err
	}
	return n.containerd.Await(ctx, func(ctx context.Context) error { return n.ctr(ctx, "version") })
}

// load makes images known to the node, so that it need not pull them from anywhere.
func (n *Node) load(ctx context.Context, images []string) error {
	for _, file := range images {
		if err := n.ctr(ctx, "images", "import", file); err != nil {
			return err
		}
	}
	return n.ctr(ctx, "images", "label", PauseImage, "io.cri-containerd.pinned=pinned")
}

func (n *Node) startKubelet(ctx context.Context) error {
	kubelet, err := n.cluster.Identity("system:node:"+nodeName, "system:nodes")
	if err != nil {
		return err
	}
	proxy, err := n.cluster.Identity("system:kube-proxy", "")
	if err != nil {
		return err
	}
	n.kubelet, err = cluster.StartProcess(n.dir, "kubelet", exec.Command(cluster.Program("kubelet"),
		"--config="+filepath.Join(n.dir, "kubelet.yaml"), "--kubeconfig="+kubelet, "--hostname-override="+nodeName,
		"--node-ip="+cluster.NodeAddress, "--root-dir="+filepath.Join(n.dir, "kubelet"), "--cert-dir="+filepath.Join(n.dir, "kubelet-pki")))
	if err != nil {
		return err
	}
	n.proxy, err = cluster.StartProcess(n.dir, "kube-proxy", exec.Command(cluster.Program("kube-proxy"),
		"--kubeconfig="+proxy, "--proxy-mode=nftables", "--hostname-override="+nodeName, "--cluster-cidr=10.244.0.0/16",
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		"--metrics-bind-address=127.0.0.1:10249", "--healthz-bind-address=127.0.0.1:10256"))
	if err != nil {
		return err
	}
	return n.kubelet.Await(ctx, n.ready)
}

// ready returns nil when Pods can be put on the node, and there is an account for them.
func (n *Node) ready(ctx context.Context) error {
	client := n.cluster.Client().CoreV1()
	node, err := client.Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	if len(node.Status.Conditions) == 0 {
		return fmt.Errorf("the node says nothing yet")
	}
	_, err = client.ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}
