package pool

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startCheck has e checked by probe instead of over the network.
func startCheck(e *Endpoint, c Check, probe func(context.Context) bool) {
	e.checking.Lock()
	defer e.checking.Unlock()
	k := &checker{check: c, stop: make(chan struct{}), probe: probe}
	k.wanted.Store(int64(e.clock.now()))
	e.checker = k
	go e.runChecks(k)
}

var everySecond = Check{Path: "/healthz", Interval: time.Second, Timeout: 100 * time.Millisecond, Rise: 2, Fall: 3}

// TestCheckThresholds: three bad answers in a row take an endpoint out, two good ones bring it back, and it is asked about once in an
// interval.
func TestCheckThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{}).Endpoint(Key{Address: "10.0.0.1:80"})
		var well atomic.Bool
		var asked atomic.Int64
		well.Store(true)
		startCheck(e, everySecond, func(context.Context) bool { asked.Add(1); return well.Load() })
		pass := func(d time.Duration) {
			for range d / (500 * time.Millisecond) {
				e.watch(everySecond) // a request comes now and then
				time.Sleep(500 * time.Millisecond)
			}
			synctest.Wait()
		}
		pass(20 * time.Second)
		if n := asked.Load(); n < 17 || n > 23 {
			t.Errorf("asked %d times in 20 s", n)
		}
		if e.Status().State != "ok" || !admitted(e) {
			t.Errorf("%+v", e.Status())
		}
		well.Store(false)
		pass(1500 * time.Millisecond)
		if !admitted(e) {
			t.Error("out after less than three bad answers")
		}
		pass(4 * time.Second)
		if admitted(e) || e.Status().State != "unhealthy" {
			t.Errorf("still in: %+v", e.Status())
		}
		well.Store(true)
		pass(4 * time.Second)
		if !admitted(e) || e.Status().State != "ok" {
			t.Errorf("still out: %+v", e.Status())
		}
		e.unwatch()
	})
}

// TestCheckEndsWhenNobodyWantsIt, and an endpoint that it had taken out is back.
func TestCheckEndsWhenNobodyWantsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{}).Endpoint(Key{Address: "10.0.0.1:80"})
		c := everySecond
		c.Fall = 1
		var asked atomic.Int64
		startCheck(e, c, func(context.Context) bool { asked.Add(1); return false })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if admitted(e) {
			t.Error("not checked")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		n := asked.Load()
		if n > 4 || !admitted(e) {
			t.Errorf("asked %d times in the three intervals; %+v", n, e.Status())
		}
		time.Sleep(time.Minute) // the bubble ends only if the goroutine has
		if asked.Load() != n {
			t.Error("asked on")
		}
	})
}

func TestChecksEndWithTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		e := p.Endpoint(Key{Address: "10.0.0.1:80"})
		startCheck(e, everySecond, func(ctx context.Context) bool { <-ctx.Done(); return false })
		time.Sleep(5 * time.Second)
		p.Release(e)
		if e.watch(everySecond); e.checker != nil {
			t.Error("an endpoint that left is checked again")
		}
	})
}

// TestUnhealthyEndpointsAreTheLastResort: passed over while another is left, chosen when none is.
func TestUnhealthyEndpointsAreTheLastResort(t *testing.T) {
	all, seeds := endpoints(New(Options{}), 4)
	ring := NewRing(seeds)
	for _, e := range all[:3] {
		e.unwell.Store(true)
	}
	ways := map[string]func(c Candidates, n uint32) int{
		"round robin":   func(c Candidates, n uint32) int { return c.RoundRobin(n) },
		"least request": func(c Candidates, n uint32) int { return c.LeastRequest(uint64(n) * 0x9e3779b97f4a7c15) },
		"rendezvous":    func(c Candidates, n uint32) int { return c.Rendezvous(Hash(string(rune(n))), seeds) },
		"subset": func(c Candidates, n uint32) int {
			return c.Subset(Hash(string(rune(n))), seeds, ring, Draw{2, n << 28})
		},
	}
	for name, choose := range ways {
		for n := range uint32(100) {
			if i := choose(Candidates{Endpoints: all}, n); i != 3 {
				t.Fatalf("%s chooses %d", name, i)
			}
		}
	}
	all[3].unwell.Store(true)
	for name, choose := range ways {
		used := map[int]bool{}
		for n := range uint32(100) {
			used[choose(Candidates{Endpoints: all}, n)] = true
		}
		if len(used) != 4 || used[-1] {
			t.Errorf("%s: when none is well, %v get requests", name, used)
		}
	}
}

// TestAsk: what counts as well, over real connections.
func TestAsk(t *testing.T) {
	status := make(chan int, 1)
	var host, agent atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.Store(r.Host)
		agent.Store(r.UserAgent())
		switch s := <-status; {
		case r.URL.RequestURI() != "/healthz?deep=1":
			w.WriteHeader(http.StatusNotFound)
		case s == 0:
			<-r.Context().Done() // too slow
		default:
			w.WriteHeader(s)
		}
	}))
	defer server.Close()
	p := New(Options{AllowLoopback: true})
	defer p.Close()
	e := p.Endpoint(Key{Address: server.Listener.Addr().String()})
	c := Check{Path: "/healthz?deep=1", Host: "shop.test", Interval: time.Second, Timeout: 10 * time.Second}
	for code, want := range map[int]bool{200: true, 204: true, 302: true, 399: true, 404: false, 500: false, 503: false} {
		status <- code
		if got := e.ask(t.Context(), &c); got != want {
			t.Errorf("%d: well %v", code, got)
		}
	}
	if host.Load() != "shop.test" || agent.Load() != "usher-health-check" {
		t.Errorf("Host %v, User-Agent %v", host.Load(), agent.Load())
	}
	status <- 0
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if e.ask(ctx, &c) {
		t.Error("no answer is well")
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := gone.Addr().String()
	_ = gone.Close()
	if p.Endpoint(Key{Address: address}).ask(t.Context(), &c) {
		t.Error("refused is well")
	}
}

// TestWatchCostsNothing while everything is as it was.
func TestWatchCostsNothing(t *testing.T) {
	p := New(Options{})
	all, _ := endpoints(p, 3)
	g := p.Group("demo/app:80")
	c := Check{Path: "/", Interval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	g.Watch(c, all)
	for _, e := range all {
		if e.checker == nil {
			t.Fatal("not checked")
		}
	}
	if n := testing.AllocsPerRun(100, func() { g.Watch(c, all) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	p.Close()
	for _, e := range all {
		e.leave()
		if e.checker != nil {
			t.Error("checked after the end")
		}
	}
}

// admitted reports whether an endpoint that is alone would be chosen.
func admitted(e *Endpoint) bool { return (&Candidates{Endpoints: []*Endpoint{e}}).Sound(0) }
