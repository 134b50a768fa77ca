//go:build linux

package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startControllers starts the controller manager and waits until it has made
// the first ServiceAccount.
func (c *Cluster) startControllers(ctx context.Context) error {
	kubeconfig, err := c.Identity("system:kube-controller-manager", "")
	if err != nil {
		return err
	}
	// Without the rates it holds itself up for seconds at the start.
	arguments := []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.file("sa.key"), "--root-ca-file=" + c.file("ca.crt"),
		"--endpointslice-updates-batch-period=0", "--kube-api-qps=500", "--kube-api-burst=1000",
	}
	if c.options.Nodes {
		arguments = append(arguments, "--allocate-node-cidrs=true", "--cluster-cidr="+PodRange, "--service-cluster-ip-range=10.96.0.0/16")
	}
	if c.controllers, err = c.run("kube-controller-manager", arguments...); err != nil {
		return err
	}
	return c.controllers.Await(ctx, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *Cluster) startScheduler() error {
	kubeconfig, err := c.Identity("system:kube-scheduler", "")
	if err != nil {
		return err
	}
	c.scheduler, err = c.run("kube-scheduler",
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false")
	return err
}
