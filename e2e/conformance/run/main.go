//go:build linux

// Program run checks an ingress controller against networking.k8s.io/v1 and
// prints the report; see package conformance. The exit status is 1 if a
// feature failed.
//
// Any controller of a cluster, from a machine that it can reach:
//
//	go run ./e2e/conformance/run -kubeconfig ~/.kube/config -class nginx \
//	    -http 192.0.2.1:80 -https 192.0.2.1:443 -pods 192.0.2.7 -controller "ingress-nginx 1.14"
//
// Usher itself, on a folder:
//
//	go run ./e2e/conformance/run -usher bin/usher
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/usher-ingress/usher/e2e/cluster"
	"github.com/usher-ingress/usher/e2e/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	failed, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

type options struct {
	kubeconfig, usher, controller string
	target                        conformance.Target
}

func run(ctx context.Context) (failed int, err error) {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` with access to the cluster, allowed to create namespaces")
	flag.StringVar(&o.usher, "usher", "", "usher `binary` to start on a folder instead, without a cluster")
	flag.StringVar(&o.controller, "controller", "", "name and version of the controller, for the report")
	flag.StringVar(&o.target.Class, "class", "", "IngressClass of the controller")
	flag.StringVar(&o.target.HTTP, "http", "", "`address` of the controller for HTTP, host:port")
	flag.StringVar(&o.target.HTTPS, "https", "", "`address` of the controller for HTTPS, host:port")
	flag.StringVar(&o.target.Pods, "pods", "", "IP `address` of this machine that the controller can reach; not of the loopback range, which the API refuses")
	flag.DurationVar(&o.target.Patience, "patience", time.Minute, "how long a change may take to be live")
	flag.Parse()

	r := conformance.Report{Date: time.Now(), Controller: o.controller}
	switch {
	case o.usher != "":
		end, err := o.startUsher(ctx, &r)
		if err != nil {
			return 0, err
		}
		defer end()
	case o.kubeconfig == "" || o.target.Class == "" || o.target.HTTP == "" || o.target.HTTPS == "" || net.ParseIP(o.target.Pods) == nil:
		return 0, errors.New("want -usher, or -kubeconfig, -class, -http, -https and -pods")
	default:
		config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return 0, err
		}
		if o.target.World, err = conformance.NewCluster(config); err != nil {
			return 0, err
		}
		r.Setting = "In a cluster, class " + o.target.Class
	}
	features, err := conformance.Features()
	if err != nil {
		return 0, err
	}
	for _, f := range features {
		fmt.Fprintln(os.Stderr, f.Name)
		r.Results = append(r.Results, o.target.Run(ctx, f))
	}
	if _, err := r.WriteTo(os.Stdout); err != nil {
		return 0, err
	}
	fmt.Fprintf(os.Stderr, "%d passed, %d failed\n", len(features)-r.Failed(), r.Failed())
	return r.Failed(), nil
}

const class = `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: usher}, spec: {controller: usher.dev/ingress-controller}}`

// startUsher starts Usher on an empty folder and makes it the target.
func (o *options) startUsher(ctx context.Context, r *conformance.Report) (end func(), err error) {
	folder, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	var process *cluster.Process
	end = func() {
		process.Kill()
		_ = os.RemoveAll(folder)
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	manifests, ports := filepath.Join(folder, "manifests"), freePorts(3)
	if err = errors.Join(os.Mkdir(manifests, 0o700), os.WriteFile(filepath.Join(manifests, "class.yaml"), []byte(class), 0o600)); err != nil {
		return nil, err
	}
	process, err = cluster.StartProcess(folder, "usher", exec.CommandContext(ctx, o.usher, "serve", "--manifests", manifests, "--bind-address", "127.0.0.1",
		"--http-port", ports[0], "--https-port", ports[1], "--admin-port", ports[2], "--admin-address", "127.0.0.1", "--shutdown-delay", "0"))
	if err != nil {
		return nil, err
	}
	o.target.World, o.target.Class, o.target.Pods = conformance.Folder(manifests), "usher", "127.0.0.1"
	o.target.HTTP, o.target.HTTPS = "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]
	version, _ := exec.CommandContext(ctx, o.usher, "version").Output()
	r.Controller, _, _ = strings.Cut(strings.TrimSpace(string(version)), ",")
	r.Setting = "On a folder, without a cluster"
	return end, process.Await(ctx, func(ctx context.Context) error { return cluster.Answers(ctx, "http://127.0.0.1:"+ports[2]+"/readyz") })
}

// freePorts are ports of the loopback address that nobody listens on.
func freePorts(n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return make([]string, n) // the program under test will say what is wrong
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}
