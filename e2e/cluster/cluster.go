//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	etcdURL      = "http://127.0.0.1:2379"
	etcdPeerURL  = "http://127.0.0.1:2380"
	apiServerURL = "https://" + NodeAddress + ":6443"
	serviceRange = "10.96.0.0/16,fd00:10:96::/112"

	// startTimeout is for a program to become ready on a busy machine; it
	// takes seconds on an idle one.
	startTimeout = 2 * time.Minute
)

// Options of a cluster; the zero value is etcd and the API server.
type Options struct {
	// Controllers also starts the controller manager.
	Controllers bool
	// Nodes: the scheduler is there too, and kubelets may join as "system:node:NAME". Implies Controllers.
	Nodes bool
}

// Cluster is a running control plane. There is at most one in a test binary,
// since its ports are fixed.
type Cluster struct {
	options     Options
	directory   string
	authority   *Authority
	admin       *rest.Config
	client      kubernetes.Interface
	etcd        *Process
	apiServer   *Process
	controllers *Process // nil without
	scheduler   *Process // nil without
}

// Start starts a cluster and returns when it is ready. The caller ends it with
// [Cluster.Stop].
func Start(ctx context.Context, options Options) (*Cluster, error) {
	directory, err := os.MkdirTemp("", "usher-e2e-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{directory: directory, options: options}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.makeIdentities(); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	if c.options.Controllers || c.options.Nodes {
		if err := c.startControllers(ctx); err != nil {
			return err
		}
	}
	if c.options.Nodes {
		return c.startScheduler()
	}
	return nil
}

// makeIdentities writes the keys and certificates that the programs read, and
// makes the administrator's client.
func (c *Cluster) makeIdentities() (err error) {
	if c.authority, err = NewAuthority("usher-e2e"); err != nil {
		return err
	}
	server, err := c.authority.Server("kubernetes.default.svc", "kubernetes.default", "kubernetes",
		"localhost", "127.0.0.1", "10.96.0.1", NodeAddress)
	if err != nil {
		return err
	}
	admin, err := c.authority.Client("admin", "system:masters")
	if err != nil {
		return err
	}
	kubelets, err := c.authority.Client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	private, public, err := serviceAccountKeys()
	if err != nil {
		return err
	}
	c.admin = &rest.Config{
		Host:            apiServerURL,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.PEM(), CertData: admin.Cert, KeyData: admin.Key},
		QPS:             -1, // a test waits for the server, never for its own client
	}
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return err
	}
	return writeFiles(c.directory, map[string][]byte{
		"ca.crt": c.authority.PEM(), "sa.key": private, "sa.pub": public,
		"apiserver.crt": server.Cert, "apiserver.key": server.Key, "kubelets.crt": kubelets.Cert, "kubelets.key": kubelets.Key,
	})
}

func (c *Cluster) startEtcd(ctx context.Context) (err error) {
	c.etcd, err = c.run("etcd",
		"--name", "e2e", "--data-dir", c.file("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", etcdPeerURL, "--initial-advertise-peer-urls", etcdPeerURL,
		"--initial-cluster", "e2e="+etcdPeerURL)
	if err != nil {
		return err
	}
	return c.etcd.Await(ctx, func(ctx context.Context) error { return Answers(ctx, etcdURL+"/readyz") })
}

// StartAPIServer starts the API server and waits until it is ready: for the
// first time, or again on the same data after [Cluster.KillAPIServer].
func (c *Cluster) StartAPIServer(ctx context.Context) (err error) {
	arguments := []string{
		"--etcd-servers=" + etcdURL, "--secure-port=6443",
		"--bind-address=" + NodeAddress, "--advertise-address=" + NodeAddress,
		"--tls-cert-file=" + c.file("apiserver.crt"), "--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.file("sa.pub"), "--service-account-signing-key-file=" + c.file("sa.key"),
		"--service-cluster-ip-range=" + serviceRange, "--allow-privileged=true", "--profiling=false",
	}
	if c.options.Nodes {
		arguments = append(arguments, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--kubelet-client-certificate="+c.file("kubelets.crt"), "--kubelet-client-key="+c.file("kubelets.key"),
			"--kubelet-preferred-address-types=InternalIP")
	} else {
		arguments = append(arguments, "--authorization-mode=RBAC")
	}
	if c.apiServer, err = c.run("kube-apiserver", arguments...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.apiServer.Await(ctx, func(ctx context.Context) error {
		return c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// PauseAPIServer stops the API server where it stands, so that it hangs, until the function it returns is called.
func (c *Cluster) PauseAPIServer() (resume func()) {
	_ = syscall.Kill(c.apiServer.Pid(), syscall.SIGSTOP) // of our own child, which runs
	return func() { _ = syscall.Kill(c.apiServer.Pid(), syscall.SIGCONT) }
}

// KillAPIServer ends the API server as a crash would. etcd keeps the objects.
func (c *Cluster) KillAPIServer() { c.apiServer.Kill() }

// Config returns the administrator's access.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// Client returns the administrator's client.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Dir holds the cluster's logs and may hold the test's own; it goes with the
// cluster.
func (c *Cluster) Dir() string { return c.directory }

// Logs returns the end of what each program of the cluster has printed, for a
// test that has failed.
func (c *Cluster) Logs() string {
	var tails []string
	for _, p := range []*Process{c.etcd, c.apiServer, c.controllers, c.scheduler} {
		if p != nil {
			tails = append(tails, p.Tail(5))
		}
	}
	return strings.Join(tails, "\n")
}

// Stop ends the cluster and removes all it has written.
func (c *Cluster) Stop() {
	for _, p := range []*Process{c.scheduler, c.controllers, c.apiServer, c.etcd} {
		p.Kill()
	}
	_ = os.RemoveAll(c.directory) // temporary anyway
}

func (c *Cluster) run(name string, arguments ...string) (*Process, error) {
	return StartProcess(c.directory, name, exec.Command(Program(name), arguments...))
}

func (c *Cluster) file(name string) string { return filepath.Join(c.directory, name) }
