//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
	"github.com/usher-ingress/usher/e2e/traffic"
)

// ways are how the Pods of a test are spoken to, by host.
var ways = map[string]string{
	"plain.example": "", "tls.example": "HTTPS", "h2c.example": "GRPC", "h2.example": "GRPCS",
}

// repeatScene is a Service of two Pods, spoken to in four ways, so that what is sent again finds an endpoint.
func repeatScene(t *testing.T) (s *scene, journal string, start func() []*cluster.Process) {
	s = folderScene(t)
	journal = filepath.Join(t.TempDir(), "journal")
	pods := []traffic.Pod{{Name: "web-1", IP: address(), Journal: journal}, {Name: "web-2", IP: address(), Journal: journal}}
	s.apply(`{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{name: http, port: 80}, {name: grpc, port: 81}, {name: tls, port: 443}]}}`)
	s.apply(fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: %s}, {name: grpc, port: %s}, {name: tls, port: %s}]
endpoints: [{addresses: [%s], conditions: {ready: true}}, {addresses: [%s], conditions: {ready: true}}]
`, traffic.PortHTTP, traffic.PortGRPC, traffic.PortTLS, pods[0].IP, pods[1].IP))
	for host, protocol := range ways {
		port := map[string]int{"": 80, "HTTPS": 443, "GRPC": 81, "GRPCS": 443}[protocol]
		annotations := []string{`usher.dev/eject-after-failures: "0"`}
		if protocol != "" {
			annotations = append(annotations, "nginx.ingress.kubernetes.io/backend-protocol: "+protocol)
		}
		s.ingress(strings.TrimSuffix(host, ".example"), fmt.Sprintf(
			`rules: [{host: %s, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: %d}}}}]}}]`, host, port), annotations...)
	}
	return s, journal, func() (started []*cluster.Process) {
		for _, p := range pods {
			process, err := cluster.StartProcess(s.logs, p.Name, p.Command())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(process.Kill)
			started = append(started, process)
		}
		for _, p := range pods {
			await(t, func() error {
				c, err := net.Dial("tcp", net.JoinHostPort(p.IP, traffic.PortTLS)) // it is the last that is opened
				if err == nil {
					c.Close()
				}
				return err
			})
		}
		return started
	}
}

// order sends a POST of 20 kB, after a request that leaves Usher a kept connection, and returns the answer.
func (u *usher) order(host, id, fault string, delay time.Duration) string {
	for range 4 { // both Pods
		response, err := u.client.Get("http://" + host + "/")
		if err != nil {
			return "before: " + err.Error()
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	r, _ := http.NewRequest(http.MethodPost, "http://"+host+"/", bytes.NewReader(make([]byte, 20_000)))
	r.Header.Set(traffic.IDField, id)
	r.Header.Set(traffic.FaultField, fault)
	r.Header.Set(traffic.FaultDelay, delay.String())
	response, err := u.client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", response.Header.Get("X-Usher-Reason")))
}

// TestNeverTwice: Pods that begin to work on a POST and end, in every way, 1 ms to 2 s later, see it once, and its client is told so.
func TestNeverTwice(t *testing.T) {
	s, journal, start := repeatScene(t)
	start()
	u := s.usher()
	u.expect("http://plain.example/healthz", "200 ")
	var orders sync.WaitGroup
	var alone atomic.Int64 // on a connection of their own; over HTTP/2 the end of another's may come first
	for host := range ways {
		for _, fault := range []string{traffic.FaultReset, traffic.FaultClose, traffic.FaultUnread, traffic.FaultTimeout} {
			want := "502 endpoint-reset"
			shared := strings.HasPrefix(host, "h2")
			if fault == traffic.FaultTimeout {
				if want = "408"; shared {
					continue
				}
			}
			for _, delay := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
				orders.Go(func() {
					for i := range 5 {
						id := fmt.Sprintf("%s-%s-%s-%d", host, fault, delay, i)
						if got := u.order(host, id, fault, delay); got != want {
							t.Errorf("%s: %s, want %s", id, got, want)
						}
						if !shared {
							alone.Add(1)
						}
					}
				})
			}
		}
	}
	orders.Wait()
	onceEach(t, journal, int(alone.Load()))
}

// TestNeverTwiceKilled: a process that is killed 20 ms after it has stored an order, with the body unread.
func TestNeverTwiceKilled(t *testing.T) {
	s, journal, start := repeatScene(t)
	u := s.usher()
	const rounds = 5
	for i := range rounds {
		for host := range ways {
			started := start()
			id := fmt.Sprintf("%s-%d", host, i)
			if got := u.order(host, id, traffic.FaultKill, 20*time.Millisecond); got != "502 endpoint-reset" {
				t.Errorf("%s: %s", id, got)
			}
			for _, p := range started {
				p.Kill()
			}
		}
	}
	onceEach(t, journal, rounds*len(ways))
}

// onceEach fails the test unless the Pods have begun at least as many requests, each once.
func onceEach(t *testing.T, path string, want int) {
	t.Helper()
	journal, err := traffic.Journal(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(journal) < want {
		t.Errorf("%d requests came to a Pod, want at least %d", len(journal), want)
	}
	for id, pods := range journal {
		if len(pods) > 1 {
			t.Errorf("request %s was worked on by %v", id, pods)
		}
	}
}

// TestIdleClosers: servers that close a connection 0.2 to 5 ms after an answer, which is when the next request comes. No GET fails, no
// POST is worked on twice, and the log says how many were answered 502 since nobody can tell.
func TestIdleClosers(t *testing.T) {
	s := folderScene(t)
	var mu sync.Mutex
	worked := map[string]int{}
	ip := address()
	closer(t, net.JoinHostPort(ip, traffic.PortHTTP), func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		worked[r.Method+r.Header.Get(traffic.IDField)]++
	})
	s.service("web")
	s.slice("web", fmt.Sprintf(`{addresses: [%s], conditions: {ready: true}}`, ip))
	s.route("web", "closers.example", "/", "web")
	u := s.usher("--access-log=false")
	u.expect("http://closers.example/", "200 ")
	const clients, each = 8, 1000
	failed := map[string]*atomic.Int64{"GET": {}, "POST": {}}
	var done sync.WaitGroup
	for i := range clients {
		done.Go(func() {
			for j := range each {
				method := []string{"GET", "POST"}[rand.IntN(2)]
				r, _ := http.NewRequestWithContext(context.Background(), method, "http://closers.example/", nil)
				if method == "POST" {
					r, _ = http.NewRequest(method, "http://closers.example/", strings.NewReader("an order"))
				}
				r.Header.Set(traffic.IDField, fmt.Sprint(i, "-", j))
				response, err := u.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != 200 {
					failed[method].Add(1)
				}
				time.Sleep(time.Duration(rand.IntN(int(4 * time.Millisecond))))
			}
		})
	}
	done.Wait()
	mu.Lock()
	defer mu.Unlock()
	posts := 0
	for id, n := range worked {
		if strings.HasPrefix(id, "POST") {
			if posts++; n > 1 {
				t.Errorf("%s was worked on %d times", id, n)
			}
		}
	}
	if n := failed["GET"].Load(); n > 0 {
		t.Errorf("%d GETs failed", n)
	}
	t.Logf("%d of %d POSTs were answered 502, %.2f %%", failed["POST"].Load(), posts, 100*float64(failed["POST"].Load())/float64(posts))
}

// closer serves HTTP/1.1 and closes each connection when 0.2 to 5 ms have passed without a request.
func closer(t *testing.T, address string, work func(*http.Request)) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); work(r) }),
		ReadHeaderTimeout: time.Minute, ConnState: closeSoon(),
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
}

// closeSoon closes connections that have become idle.
func closeSoon() func(net.Conn, http.ConnState) {
	var timers sync.Map
	return func(c net.Conn, state http.ConnState) {
		if timer, ok := timers.LoadAndDelete(c); ok {
			timer.(*time.Timer).Stop()
		}
		if state == http.StateIdle {
			timers.Store(c, time.AfterFunc(200*time.Microsecond+rand.N(4800*time.Microsecond), func() { _ = c.Close() }))
		}
	}
}
