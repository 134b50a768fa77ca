//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/usher-ingress/usher/e2e/cluster"
)

const (
	churnRate = 100 // EndpointSlices changed a second
	window    = 6 * time.Second
	samples   = 100
	pause     = 40 * time.Millisecond // between two changes at rest: more than what a burst waits for
)

// The hosts whose backend a change moves, by the endpoints of its Service or by the Ingress.
const (
	endpointsHost = "endpoints.example.com"
	ingressHost   = "ingress.example.com"
)

// backends are the addresses of those that really answer.
var backends = map[string]string{"others": "10.244.0.1", "blue": "10.244.0.2", "green": "10.244.0.3"}

func startBackends() (stop func(), err error) {
	var all []*cluster.Backend
	stop = func() {
		for _, b := range all {
			b.Close()
		}
	}
	for name, address := range backends {
		b, err := cluster.StartBackend(name, address+":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		if err != nil {
			stop()
			return nil, err
		}
		all = append(all, b)
	}
	return stop, nil
}

// stage is an API server full of objects, and Usher on it.
type stage struct {
	*bench
	client     kubernetes.Interface
	kubeconfig string
	usher      *usher
	turn       int
}

func measureCluster(ctx context.Context, b *bench) (string, error) {
	c, err := cluster.Start(ctx, cluster.Options{})
	if err != nil {
		return "", err
	}
	defer c.Stop()
	stop, err := startBackends()
	if err != nil {
		return "", err
	}
	defer stop()
	s := &stage{bench: b, client: c.Client()}
	if err := s.prepare(ctx, c); err != nil {
		return "", err
	}
	starts := table{{"Ingresses", "hosts", "to Ready", "CPU", "RSS 5 s later", "peak RSS"}}
	changes := table{{"Ingresses", "a change of", "", "to live p50", "p99", "CPU of each", "others' p50", "p99", "failed"}}
	text := func() string {
		return fmt.Sprintf("%d Services, %d endpoints, watched with the shipped ClusterRole. The middle of three starts.\n\n%s"+
			"A change is timed from before it is sent to the API server until a request is answered by it: the API server's own time is part of it. "+
			"\"Churn\" is %d EndpointSlices of other Services changed a second. The CPU is Usher's, user and system, while nobody asks for anything; of the churn, without what Usher needs in as long without it. "+
			"The others' %d requests a second come after that, in the churn.\n\n%s",
			services, 3*services, starts, churnRate, othersRate, changes)
	}
	made := 0
	for _, n := range b.sizes {
		b.log("creating Ingresses %d to %d", made, n)
		if err := fillIngresses(ctx, s.client, made, n); err != nil {
			return "", err
		}
		if err := s.measure(ctx, n, &starts, &changes); err != nil {
			return "", err
		}
		made = n
		b.log("so far:\n%s", text())
	}
	return text(), nil
}

// prepare makes the account, the Services, and the hosts that are asked for.
func (s *stage) prepare(ctx context.Context, c *cluster.Cluster) (err error) {
	if _, err = s.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	s.kubeconfig, err = c.ServiceAccount(ctx, cluster.Account{Namespace: namespace, Name: "usher", Grants: []cluster.Grant{{File: "charts/usher/files/rbac/clusterrole.yaml"}}})
	if err != nil {
		return err
	}
	if _, err = s.client.NetworkingV1().IngressClasses().Create(ctx, class(), metav1.CreateOptions{}); err != nil {
		return err
	}
	addresses := maps.Clone(backends)
	addresses["moving"] = backends["blue"]
	for name, address := range addresses {
		if _, err = s.client.CoreV1().Services(namespace).Create(ctx, service(name), metav1.CreateOptions{}); err != nil {
			return err
		}
		if _, err = s.client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice(name, address), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for service, host := range map[string]string{"others": othersHost, "moving": endpointsHost, "blue": ingressHost} {
		if _, err = s.client.NetworkingV1().Ingresses(namespace).Create(ctx, ingress(service, rule(host, path("/", service))), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	s.log("creating %d Services", services)
	return fillServices(ctx, s.client)
}

func (s *stage) measure(ctx context.Context, n int, starts, changes *table) error {
	start, u, err := measureStart(ctx, s.bench, "--kubeconfig", s.kubeconfig)
	if err != nil {
		return err
	}
	defer u.stop()
	s.usher = u
	starts.row(append([]any{n, 3 * n}, start.cells()...)...)
	for _, kind := range s.kinds() {
		stopProfile := s.profileTo(fmt.Sprintf("%s-%d.pprof", kind.host, n))
		cost, err := s.cost(kind.change)
		stopProfile()
		if err != nil {
			return err
		}
		l, err := s.live(ctx, kind)
		if err != nil {
			return err
		}
		others := askOthers(ctx, window/2)
		changes.row(n, kind.name, "at rest", l.p50(), l.p99(), cost, others.p50(), others.p99(), others.failed)
	}
	return s.underChurn(ctx, n, changes)
}

// kind is what is changed, and how; change returns which backend answers then.
type kind struct {
	name, host string
	change     func(context.Context) (string, error)
}

func (s *stage) kinds() []kind {
	return []kind{{"endpoints", endpointsHost, s.changeEndpoints}, {"an Ingress", ingressHost, s.changeIngress}}
}

// changeEndpoints gives the Service the other backend as its endpoint, and returns it.
func (s *stage) changeEndpoints(ctx context.Context) (string, error) {
	s.turn++
	want := []string{"blue", "green"}[s.turn%2]
	_, err := s.client.DiscoveryV1().EndpointSlices(namespace).Update(ctx, slice("moving", backends[want]), metav1.UpdateOptions{})
	return want, err
}

// changeIngress sends the Ingress's host to the other Service.
func (s *stage) changeIngress(ctx context.Context) (string, error) {
	s.turn++
	want := []string{"green", "others"}[s.turn%2]
	_, err := s.client.NetworkingV1().Ingresses(namespace).Update(ctx, ingress("blue", rule(ingressHost, path("/", want))), metav1.UpdateOptions{})
	return want, err
}

// cost is Usher's CPU time for a change, when nothing else happens.
func (s *stage) cost(change func(context.Context) (string, error)) (string, error) {
	var failed error
	spent := s.spent(func() {
		for range samples {
			if _, err := change(context.Background()); err != nil {
				failed = err
			}
			time.Sleep(pause)
		}
	})
	return millis(spent / samples), failed
}

// live times changes until a request is answered by them.
func (s *stage) live(ctx context.Context, k kind) (latency, error) {
	var l latency
	probe := &asker{host: k.host}
	defer probe.close()
	for range samples {
		begin := time.Now()
		want, err := k.change(ctx)
		if err != nil {
			return l, err
		}
		for got := ""; got != want; {
			if got, err = probe.ask(ctx, "/"); err != nil {
				return l, err
			}
			if time.Since(begin) > 30*time.Second {
				return l, fmt.Errorf("not live after %s: %q answers, want %q", time.Since(begin), got, want)
			}
		}
		l.took = append(l.took, time.Since(begin))
		time.Sleep(pause)
	}
	slices.Sort(l.took)
	return l, nil
}

// underChurn measures the cost of the churn while nobody asks for anything, and then, still under it, the others and the changes. What
// a load costs swings by more than what the churn costs, so one cannot be had by taking it off both together.
func (s *stage) underChurn(ctx context.Context, n int, changes *table) error {
	idle := s.spent(func() { time.Sleep(window) })
	end, changed := s.churn(ctx)
	defer end()
	time.Sleep(time.Second)
	first, stopProfile := changed(), s.profileTo(fmt.Sprintf("churn-%d.pprof", n))
	busy := s.spent(func() { time.Sleep(window) })
	count := changed() - first
	stopProfile()
	s.log("%s of CPU with %d changes, %s without", busy, count, idle)
	cost := millis((busy - idle) / time.Duration(max(1, count)))
	others := askOthers(ctx, window)
	for _, kind := range s.kinds() {
		l, err := s.live(ctx, kind)
		if err != nil {
			return err
		}
		changes.row(n, kind.name, "in the churn", l.p50(), l.p99(), cost, others.p50(), others.p99(), others.failed)
		cost = ""
	}
	return nil
}

// spent is Usher's CPU time meanwhile.
func (s *stage) spent(do func()) time.Duration {
	before := s.usher.cpu()
	do()
	return s.usher.cpu() - before
}

// churn changes EndpointSlices until end is called.
func (s *stage) churn(ctx context.Context) (end func(), changed func() int) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := 0
	const writers = 4
	begin := time.Now()
	for w := range writers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				time.Sleep(time.Until(begin.Add(time.Duration(i*writers+w) * time.Second / churnRate)))
				number := (i*writers + w) * 7919 % services
				if _, err := s.client.DiscoveryV1().EndpointSlices(namespace).Update(ctx, largeSlice(number, i+1), metav1.UpdateOptions{}); err == nil {
					mu.Lock()
					count++
					mu.Unlock()
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }, func() int { mu.Lock(); defer mu.Unlock(); return count }
}

// profileTo takes a CPU profile of Usher for as long as the window, if asked to; the function it returns waits for its end.
func (s *stage) profileTo(file string) (wait func()) {
	if s.profile == "" {
		return func() {}
	}
	done := make(chan error, 1)
	go func() {
		response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", adminAddress, int(window.Seconds())))
		if err != nil {
			done <- err
			return
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.profile, file), text, 0o600)
		}
		done <- err
	}()
	return func() {
		if err := <-done; err != nil {
			s.log("profile: %s", strings.TrimSpace(err.Error()))
		}
	}
}
