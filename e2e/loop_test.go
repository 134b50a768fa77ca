//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// at gives a Service one endpoint and a host of its own.
func (s *scene) at(service, ip string, port int64) {
	s.t.Helper()
	s.service(service)
	s.endpointAt(service, "", ip, port)
	s.route(service, service+".test", "/", service)
}

// endpointAt applies the EndpointSlice of a Service; an empty namespace is the scene's.
func (s *scene) endpointAt(service, namespace, ip string, port int64) {
	s.t.Helper()
	if namespace == "" {
		namespace = s.namespace
	}
	s.apply(fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}},
addressType: IPv4, ports: [{name: http, port: %[4]d}], endpoints: [{addresses: [%[3]q], conditions: {ready: true}}]}`, service, namespace, ip, port))
}

// TestOwnAddressesAreNoEndpoints: neither the traffic ports nor the admin port, though everything is opened.
func TestOwnAddressesAreNoEndpoints(t *testing.T) {
	s := folderScene(t)
	n := nextReplica()
	s.at("http", replicaAddress(n), 80)
	s.at("https", replicaAddress(n), 443)
	s.at("admin", "127.0.0.1", 20000+n)
	s.at("admin2", replicaAddress(n), 20000+n)
	s.backend("beside")
	s.route("beside", "beside.test", "/", "beside")
	u := s.usher("--allow-upstream-cidr", "0.0.0.0/0")
	for _, host := range []string{"http", "https", "admin", "admin2"} {
		u.expect("http://"+host+".test/metrics", "503 endpoint-denied")
	}
	u.expect("http://beside.test/", "beside")
}

// TestLoopsEnd: a Service whose endpoint is a load balancer in front of Usher. One request makes one connection more, not 13,000.
func TestLoopsEnd(t *testing.T) {
	s := folderScene(t)
	u := s.usher()
	ip := address()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, syscall.IP_FREEBIND, 1) })
		if err != nil {
			return err
		}
		return failed
	}}
	l, err := config.Listen(t.Context(), "tcp", ip+":8080")
	if err != nil {
		t.Fatal(err)
	}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", u.address+":80")
			if err != nil {
				_ = from.Close()
				continue
			}
			passing.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			passing.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
	t.Cleanup(func() { _ = u.stop(); _ = l.Close(); passing.Wait() })
	s.at("circle", ip, 8080)
	u.expect("http://circle.test/", "508 loop-detected")
	for range 20 {
		if a, err := u.get("http://circle.test/"); err != nil || a.StatusCode != http.StatusLoopDetected {
			t.Errorf("%v %v", a, err)
		}
	}
	// Each turn of a circle would hold two connections, with goroutines of their own.
	if n, err := u.metric("go_goroutines"); err != nil || n == 0 || n > 200 {
		t.Errorf("%v goroutines, %v", n, err)
	}
}

// TestAPIServerIsNoEndpoint: where the EndpointSlice default/kubernetes has it, also when that slice comes later.
func TestAPIServerIsNoEndpoint(t *testing.T) {
	s := folderScene(t)
	ip := address()
	s.listen("server", ip+":8080")
	s.at("tenant", ip, 8080)
	u := s.usher()
	u.expect("http://tenant.test/", "server")
	s.endpointAt("kubernetes", "default", ip, 8080)
	u.expect("http://tenant.test/", "503 endpoint-denied")
}

// TestEjectionAcrossTenants: a tenant names another's Pod in an EndpointSlice of his own, and has it ejected there.
func TestEjectionAcrossTenants(t *testing.T) {
	s := folderScene(t)
	ip := address()
	victim, err := cluster.StartBackend("victim", ip+":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, `{"backend":"victim"}`)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(victim.Close)
	spare := address()
	s.listen("spare", spare+":8080")
	for _, service := range []string{"owner", "thief"} {
		s.service(service)
		s.slice(service, fmt.Sprintf("{addresses: [%s]}, {addresses: [%s]}", ip, spare))
	}
	s.ingress("owner", `rules: [{host: owner.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: owner, port: {number: 80}}}}]}}]`)
	s.ingress("thief", `rules: [{host: thief.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: thief, port: {number: 80}}}}]}}]`,
		`usher.dev/eject-after-failures: "1"`, `usher.dev/eject-for: "1h"`, `nginx.ingress.kubernetes.io/proxy-next-upstream: "off"`)
	u := s.usher()
	u.expect("http://thief.test/", "victim")
	await(t, func() error {
		_, _ = u.get("http://thief.test/fail")
		ejected, err := u.metric(`usher_endpoints{state="ejected"}`)
		if err == nil && ejected != 1 {
			err = fmt.Errorf("%v endpoints are ejected", ejected)
		}
		return err
	})
	seen := 0
	for range 20 {
		if a, err := u.get("http://owner.test/"); err == nil && a.String() == "victim" {
			seen++
		}
	}
	if seen != 10 {
		t.Errorf("%d of 20 requests reach the Pod, want every other one", seen)
	}
}

// TestStalledReaderOfTheAccessLog: nobody reads the pipe that is stdout. Every request is answered, lines are dropped and counted, and the end
// comes in good order.
func TestStalledReaderOfTheAccessLog(t *testing.T) {
	s := folderScene(t)
	s.backend("app")
	s.route("app", "app.test", "/", "app")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	u, cmd := s.command("--shutdown-grace-period", "2")
	cmd.Stdout, cmd.Stderr = writer, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	await(t, func() error { return u.ready(t.Context()) })
	u.expect("http://app.test/", "app")
	long := strings.Repeat("x", 4<<10)
	for i := range 1500 { // 6 MiB of lines and more
		if a, err := u.get(fmt.Sprintf("http://app.test/%s?%d", long, i)); err != nil || a.String() != "app" {
			t.Fatalf("request %d: %v %v", i, a, err)
		}
	}
	if dropped, err := u.metric("usher_access_log_dropped_total"); err != nil || dropped == 0 {
		t.Errorf("%v lines dropped, %v", dropped, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("end of usher: %v", err)
		}
	case <-time.After(patience):
		t.Error("the end waits for the reader of the log")
	}
}
