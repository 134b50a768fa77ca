//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
	"github.com/usher-ingress/usher/e2e/traffic"
)

// deployment is a Service with Pods that are processes. What kubelet and the EndpointSlice controller would write about them, the test
// writes, in their order and with their delays.
type deployment struct {
	scene   *scene
	service string
	journal string

	mu   sync.Mutex
	made int
	pods []*pod // those that the EndpointSlice has
	gone sync.WaitGroup
}

// pod is one Pod, and its endpoint's conditions as the EndpointSlice has them.
type pod struct {
	traffic.Pod
	deployment *deployment
	process    *cluster.Process
	conditions string
}

// The conditions of an endpoint through a Pod's life.
const (
	starting    = "{ready: false, serving: false, terminating: false}"
	ready       = "{ready: true, serving: true, terminating: false}"
	terminating = "{ready: false, serving: true, terminating: true}"
)

// deploy starts n Pods and an EndpointSlice with them.
func (s *scene) deploy(service string, n int) *deployment {
	s.t.Helper()
	d := &deployment{scene: s, service: service, journal: filepath.Join(s.t.TempDir(), "journal")}
	s.apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {ports: [{name: http, port: 80, targetPort: %s}, {name: grpc, port: 81, targetPort: %s}]}}`,
		service, traffic.PortHTTP, traffic.PortGRPC))
	for range n {
		p := d.start()
		p.awaitReady()
		p.conditions = ready
		d.pods = append(d.pods, p)
	}
	d.publish()
	s.t.Cleanup(d.gone.Wait)
	return d
}

// start starts the process of one more Pod. Every third closes idle connections after a moment, and every third resets them at the end.
func (d *deployment) start() *pod {
	d.scene.t.Helper()
	d.made++
	p := &pod{deployment: d, conditions: starting, Pod: traffic.Pod{
		Name: fmt.Sprintf("%s-%d", d.service, d.made), IP: address(),
		Work: 4 * time.Millisecond, Resets: d.made%3 == 1, Grace: 1500 * time.Millisecond, Journal: d.journal,
	}}
	if d.made%3 == 2 {
		p.Idle = 30 * time.Millisecond
	}
	var err error
	if p.process, err = cluster.StartProcess(theCluster.Dir(), p.Name, p.Command()); err != nil {
		d.scene.t.Fatal(err)
	}
	d.scene.t.Cleanup(p.process.Kill)
	return p
}

// awaitReady is the readiness probe.
func (p *pod) awaitReady() {
	p.deployment.scene.t.Helper()
	ctx, cancel := context.WithTimeout(p.deployment.scene.t.Context(), patience)
	defer cancel()
	err := p.process.Await(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(p.IP, traffic.PortHTTP)+"/healthz", nil)
		if err != nil {
			return err
		}
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	})
	if err != nil {
		p.deployment.scene.t.Fatal(err)
	}
}

// publish writes the EndpointSlice.
func (d *deployment) publish() {
	d.scene.t.Helper()
	var endpoints []string
	for _, p := range d.pods {
		endpoints = append(endpoints, fmt.Sprintf("{addresses: [%s], conditions: %s, targetRef: {kind: Pod, name: %s}}", p.IP, p.conditions, p.Name))
	}
	d.scene.apply(fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[2]s}, {name: grpc, port: %[3]s}]
endpoints: [%[4]s]
`, d.service, traffic.PortHTTP, traffic.PortGRPC, strings.Join(endpoints, ", ")))
}

// becomes changes a Pod's conditions; none takes it out of the EndpointSlice.
func (p *pod) becomes(conditions string) {
	p.deployment.scene.t.Helper()
	d := p.deployment
	d.mu.Lock()
	defer d.mu.Unlock()
	p.conditions = conditions
	var pods []*pod
	for _, other := range d.pods {
		if other != p {
			pods = append(pods, other)
		}
	}
	if conditions != "" {
		pods = append(pods, p)
	}
	d.pods = pods
	d.publish()
}

// terminate deletes a Pod. The application gets SIGTERM this long before the EndpointSlice says so, or after if that is negative: they
// come about independently. The endpoint goes when the process has ended.
func (p *pod) terminate(ahead time.Duration) {
	p.deployment.scene.t.Helper()
	if ahead < 0 {
		p.becomes(terminating)
		time.Sleep(-ahead)
	}
	p.deployment.gone.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.process.Stop(ctx); err != nil {
			p.deployment.scene.t.Errorf("end of %s: %v\n%s", p.Name, err, p.process.Tail(20))
		}
	})
	if ahead >= 0 {
		time.Sleep(ahead)
		p.becomes(terminating)
	}
	p.deployment.gone.Go(func() {
		<-p.process.Done()
		p.becomes("")
	})
}

// next adds a Pod that replaces another.
func (d *deployment) next() *pod {
	d.scene.t.Helper()
	p := d.start()
	p.becomes(starting)
	p.awaitReady()
	p.becomes(ready)
	return p
}

// kill ends a Pod's process at once, as the kernel does for want of memory. The EndpointSlice loses it only when somebody has noticed.
func (p *pod) kill(noticed time.Duration) {
	p.deployment.scene.t.Helper()
	p.process.Kill()
	time.Sleep(noticed)
	p.becomes("")
}
