package proxy_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// TestHealthChecks: an endpoint that answers requests but says that it is not well gets none, until it says that it is.
func TestHealthChecks(t *testing.T) {
	var ill atomic.Bool
	named := func(name string, ill *atomic.Bool) string {
		return app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" && ill.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, name)
		})
	}
	addresses := []string{named("a", &ill), named("b", new(atomic.Bool))}
	r := newRig(t, tableOf(addresses, with(func(s *policy.Set) {
		s.Health.Check = policy.HealthCheck{Path: "/healthz", Interval: 10 * time.Millisecond, Timeout: 10 * time.Second, Rise: 1, Fall: 2}
	})))
	both := func() bool {
		seen := map[string]bool{}
		for range 10 {
			_, body := r.get("/")
			seen[body] = true
		}
		return len(seen) == 2
	}
	if !both() {
		t.Fatal("both are well at first")
	}
	ill.Store(true)
	eventually(t, func() bool {
		for range 20 {
			if _, body := r.get("/"); body != "b" {
				return false
			}
		}
		return true
	})
	state := ""
	for _, s := range r.pool.Snapshot() {
		if s.Address == addresses[0] {
			state = s.State
		}
	}
	if state != "unhealthy" {
		t.Errorf("its state is %q", state)
	}
	ill.Store(false)
	eventually(t, both)
}

// TestConnectionsOfAnEndpoint: with as many connections as they may have, endpoints are passed over, and when all have them the
// answer is 503 with its reason. A request that finds a kept connection needs no other.
func TestConnectionsOfAnEndpoint(t *testing.T) {
	hold := make(chan struct{})
	slow := func() string {
		return app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-hold
			}
			fmt.Fprint(w, "ok")
		})
	}
	r := newRig(t, tableOf([]string{slow(), slow()}, with(func(s *policy.Set) { s.Overload.MaxConnections = 1 })))
	done := make(chan int, 2)
	for range 2 {
		go func() {
			res, _ := r.get("/slow")
			done <- res.StatusCode
		}()
	}
	eventually(t, func() bool {
		open := int64(0)
		for _, s := range r.pool.Snapshot() {
			open += s.Connections
		}
		return open == 2
	})
	res, _ := r.get("/")
	if res.StatusCode != 503 || res.Header.Get("X-Usher-Reason") != string(policy.Overloaded) {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	close(hold)
	for range 2 {
		if code := <-done; code != 200 {
			t.Error("a request in flight got", code)
		}
	}
	eventually(t, func() bool { res, _ := r.get("/"); return res.StatusCode == 200 })
	for _, s := range r.pool.Snapshot() {
		if s.Failed != 0 || s.Connections > 1 {
			t.Errorf("%+v", s)
		}
	}
}

// TestEjectionStaysWithItsService: two Services name the same Pod. One ejects it, since another of its endpoints is made to look better;
// the other's requests go on reaching it.
func TestEjectionStaysWithItsService(t *testing.T) {
	victim := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			panic(http.ErrAbortHandler) // no answer, at the wish of whoever asks
		}
		fmt.Fprint(w, "victim")
	})
	spare := func() string {
		return app(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "spare") })
	}
	table := tableOf([]string{victim, spare()}, with(func(s *policy.Set) { s.Retry.Off = true }))
	theirs := backendOf("evil/app:80", victim, spare(), spare())
	theirs.Namespace, theirs.Service = "evil", "app"
	eager := *policy.Default()
	eager.Health.MaxFails, eager.Health.EjectFor, eager.Retry.Off = 1, time.Hour, true
	rt := &route.Route{Host: "evil.test", Path: "/", Type: route.Prefix, Policy: &eager, Backend: 1,
		Ingress: policy.Ref{Kind: "Ingress", Namespace: "evil", Name: "app"}}
	table.Backends = append(table.Backends, theirs)
	table.Hosts = route.NewHosts([]*route.Host{table.Hosts.Find("app.test"), {Name: "evil.test", Paths: route.NewPaths([]*route.Route{rt})}})
	r := newRig(t, table)
	for range 12 {
		r.send("GET /fail HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	}
	r.log.mu.Lock()
	ejected := r.log.ejected
	r.log.mu.Unlock()
	if ejected == 0 {
		t.Fatal("the attack does not even eject its own endpoint")
	}
	seen := 0
	for range 10 {
		if _, body := r.get("/"); body == "victim" {
			seen++
		}
	}
	if seen != 5 {
		t.Errorf("%d of 10 requests reach the Pod, want every other one", seen)
	}
	for _, s := range r.pool.Snapshot() {
		if s.Service == "demo/app" && (s.State != "ok" || s.Failed != 0) {
			t.Errorf("%+v", s)
		}
	}
}

// TestEjectionIsTold to the observer, once for each.
func TestEjectionIsTold(t *testing.T) {
	ok := func() string {
		return app(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	}
	gone := listen(t)
	refusing := gone.Addr().String()
	_ = gone.Close()
	r := newRig(t, tableOf([]string{ok(), refusing, ok()}, with(func(s *policy.Set) { s.Health.MaxFails, s.Health.EjectFor = 2, time.Hour })))
	for range 30 {
		if res, _ := r.get("/"); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.log.ejected != 1 {
		t.Errorf("told %d times", r.log.ejected)
	}
}
