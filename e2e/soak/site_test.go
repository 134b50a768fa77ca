//go:build soak

package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long anything may take before it counts as failed.
const patience = time.Minute

// site is a folder of objects and the applications they lead to.
type site struct {
	t       *testing.T
	folder  string
	apps    []*app // the oldest first
	ending  *app   // terminating
	turns   int
	started int
}

// app is one application.
type app struct {
	server *http.Server
	port   int
}

func newSite(t *testing.T) *site {
	s := &site{t: t, folder: t.TempDir()}
	for range 5 {
		s.apps = append(s.apps, s.start())
	}
	s.write()
	t.Cleanup(func() {
		for _, a := range s.apps {
			_ = a.server.Close()
		}
	})
	return s
}

func (s *site) start() *app {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.started++
	a := &app{port: l.Addr().(*net.TCPAddr).Port, server: &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	})}}
	go func() { _ = a.server.Serve(l) }()
	return a
}

// roll makes one change: a new application beside the oldest, which is terminating from now on, or that one is gone.
func (s *site) roll() {
	s.turns++
	if gone := s.ending; gone != nil {
		s.ending = nil
		s.write()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = gone.server.Shutdown(ctx)
		}()
		return
	}
	s.ending, s.apps = s.apps[0], append(s.apps[1:], s.start())
	s.write()
}

// write puts the objects into the folder at once.
func (s *site) write() {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: usher}, spec: {controller: usher.dev/ingress-controller}}
---
{apiVersion: v1, kind: Service, metadata: {name: soak, namespace: demo}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: soak, namespace: demo, annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: "%d"}},
 spec: {ingressClassName: usher, rules: [{host: soak.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: soak, port: {number: 80}}}}]}}]}}
`, 60+s.turns/10%5)
	for i, a := range s.apps {
		s.slice(&b, i, a, "{ready: true, serving: true, terminating: false}")
	}
	if s.ending != nil {
		s.slice(&b, len(s.apps), s.ending, "{ready: false, serving: true, terminating: true}")
	}
	next := filepath.Join(s.folder, "next")
	if err := os.WriteFile(next, b.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(s.folder, "all.yaml")); err != nil {
		s.t.Fatal(err)
	}
}

// slice writes an EndpointSlice: each application has a port of its own.
func (s *site) slice(b *bytes.Buffer, n int, a *app, conditions string) {
	fmt.Fprintf(b, "---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: soak-%d, namespace: demo, labels: {kubernetes.io/service-name: soak}}, "+
		"addressType: IPv4, ports: [{name: http, port: %d}], endpoints: [{addresses: [127.0.0.1], conditions: %s}]}\n", n, a.port, conditions)
}

// usher is the process under test.
type usher struct {
	t              *testing.T
	process        *os.Process
	address, admin string
	first          float64 // swaps before the load
}

func serve(t *testing.T, folder string) *usher {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "usher")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/usher").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ports := freePorts(t, 3)
	u := &usher{t: t, address: "127.0.0.1:" + ports[0], admin: "http://127.0.0.1:" + ports[2]}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--manifests", folder, "--bind-address=127.0.0.1", "--http-port="+ports[0], "--https-port="+ports[1],
		"--admin-port="+ports[2], "--access-log=false")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the end of its log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	u.await("readiness", func() bool {
		response, err := http.Get(u.admin + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	u.first = u.metric("usher_table_swaps_total")
	return u
}

// freePorts finds ports that nobody listens on.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

func (u *usher) await(what string, holds func() bool) {
	u.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// awaitSwap waits until n changes are live.
func (u *usher) awaitSwap(n int) {
	u.t.Helper()
	u.await(fmt.Sprintf("swap %d", n), func() bool { return u.metric("usher_table_swaps_total")-u.first >= float64(n) })
}

// metric is the value of a metric without labels.
func (u *usher) metric(name string) float64 {
	u.t.Helper()
	response, err := http.Get(u.admin + "/metrics")
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	_, value, found := strings.Cut(string(text), "\n"+name+" ")
	value, _, _ = strings.Cut(value, "\n")
	number, err := strconv.ParseFloat(value, 64)
	if !found || err != nil {
		u.t.Fatalf("metric %s: %q, %v", name, value, err)
	}
	return number
}

// rss is the process's memory in MiB.
func (u *usher) rss() float64 {
	u.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", u.process.Pid))
	if err != nil {
		u.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		u.t.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
