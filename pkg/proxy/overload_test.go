package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// canaryTable sends "/" to primary, and by rules to canary.
func canaryTable(t *testing.T, rules policy.Canary, change func(*policy.Set)) *route.Table {
	t.Helper()
	named := func(name string) string {
		return app(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	}
	table := tableOf([]string{named("primary")}, with(func(s *policy.Set) {
		if change != nil {
			change(s)
		}
	}), func(table *route.Table, r *route.Route) {
		table.Backends = append(table.Backends, backendOf("demo/canary:80", named("canary")))
		r.Canary = &route.Canary{Backend: 1, Policy: &rules}
	})
	table.StickyKeys = &policy.StickyKeys{[]byte("0123456789abcdef")}
	return table
}

func TestCanaryRules(t *testing.T) {
	rules := policy.Canary{Total: 100, Header: "X-Canary", Cookie: "beta", Weight: 0}
	r := newRig(t, canaryTable(t, rules, nil))
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, "primary"},
		{[]string{"X-Canary: always"}, "canary"},
		{[]string{"X-Canary: always", "Cookie: beta=never"}, "canary"},
		{[]string{"X-Canary: never", "Cookie: beta=always"}, "primary"},
		{[]string{"X-Canary: perhaps", "Cookie: beta=always"}, "canary"},
		{[]string{"Cookie: a=b; beta=always"}, "canary"},
		{[]string{"Cookie: beta=sometimes"}, "primary"},
		{[]string{"Cookie: a=b", "Cookie: Beta=always"}, "canary"},
		{[]string{"X-Canary: always", "X-Canary: never"}, "primary"},
	} {
		if _, body := r.get("/", c.lines...); body != c.want {
			t.Errorf("%v goes to %s", c.lines, body)
		}
	}
}

func TestCanaryWeight(t *testing.T) {
	for weight, want := range map[int][2]int{0: {0, 0}, 100: {200, 200}, 50: {60, 140}} {
		r := newRig(t, canaryTable(t, policy.Canary{Total: 100, Weight: weight}, nil))
		got := 0
		for range 200 {
			if _, body := r.get("/"); body == "canary" {
				got++
			}
		}
		if got < want[0] || got > want[1] {
			t.Errorf("weight %d: %d of 200 requests, want %v", weight, got, want)
		}
	}
}

// TestCanaryWithoutEndpoints: a canary that is not up takes nothing down with it.
func TestCanaryWithoutEndpoints(t *testing.T) {
	table := canaryTable(t, policy.Canary{Total: 100, Weight: 100}, nil)
	table.Backends[1] = &route.Backend{Name: "demo/canary:80", Reason: policy.NoEndpoints}
	r := newRig(t, table)
	if res, body := r.get("/"); res.StatusCode != 200 || body != "primary" {
		t.Errorf("%s %s", res.Status, body)
	}
}

// TestCanaryOfABrokenPrimary: the primary's failure is not hidden from those whom the canary's rules pick.
func TestCanaryOfABrokenPrimary(t *testing.T) {
	table := canaryTable(t, policy.Canary{Total: 100, Weight: 100}, nil)
	table.Backends[0] = &route.Backend{Name: "demo/app:80", Reason: policy.NoService}
	r := newRig(t, table)
	res, _ := r.get("/")
	status(t, res, 503, policy.NoService)
}

// TestCanaryAndSessions: a client keeps to its side whatever the weight becomes, unless the legacy behaviour is asked for.
func TestCanaryAndSessions(t *testing.T) {
	for _, persistent := range []bool{false, true} {
		for _, legacy := range []bool{false, true} {
			settings := func(s *policy.Set) {
				s.Sticky.On, s.Sticky.Persistent, s.Sticky.LegacyCanary = true, persistent, legacy
			}
			table := canaryTable(t, policy.Canary{Total: 100, Weight: 100}, settings)
			r := newRig(t, table)
			pod, cookie, _ := r.visit("")
			rt := *table.Hosts.All()[0].Paths.All()[0]
			rt.Canary = &route.Canary{Backend: 1, Policy: &policy.Canary{Total: 100}}
			next := *table
			next.Hosts = route.NewHosts([]*route.Host{{Name: "app.test", Paths: route.NewPaths([]*route.Route{&rt})}})
			r.swap(&next)
			want := "canary"
			if legacy {
				want = "primary"
			}
			if now, _, _ := r.visit(cookie); pod != "canary" || now != want {
				t.Errorf("legacy %v, persistent %v: was on %s, is on %s, want %s", legacy, persistent, pod, now, want)
			}
		}
	}
}

func TestRateLimit(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}, with(func(s *policy.Set) {
		s.Limit.RPM, s.Limit.BurstMultiplier, s.Limit.RateStatus, s.Forwarded.Use = 2, 2, 429, true
	})))
	for i := range 6 {
		res, _ := r.get("/", "X-Forwarded-For: 198.51.100.1")
		if i < 5 {
			status(t, res, 200, "")
		} else {
			status(t, res, 429, policy.RateLimited)
		}
	}
	res, _ := r.get("/", "X-Forwarded-For: 198.51.100.2")
	status(t, res, 200, "")
}

func TestConnectionLimit(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			close(started)
			<-release
		}
	})}, with(func(s *policy.Set) { s.Limit.Connections = 1 })))
	done := make(chan *http.Response)
	go func() { res, _ := r.get("/slow"); done <- res }()
	<-started
	eventually(t, func() bool {
		res, _ := r.get("/")
		return res.StatusCode == 503 && res.Header.Get("X-Usher-Reason") == string(policy.ConnectionLimit)
	})
	close(release)
	status(t, <-done, 200, "")
	eventually(t, func() bool { res, _ := r.get("/"); return res.StatusCode == 200 })
}

func TestInFlightLimit(t *testing.T) {
	for _, perEndpoint := range []bool{false, true} {
		release, started := make(chan struct{}), make(chan struct{})
		r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				close(started)
				<-release
			}
		})}, with(func(s *policy.Set) {
			if s.Overload.MaxInFlight = 1; perEndpoint {
				s.Overload.MaxInFlight, s.Overload.MaxInFlightEndpoint = 0, 1
			}
		})))
		done := make(chan *http.Response)
		go func() { res, _ := r.get("/slow"); done <- res }()
		<-started
		eventually(t, func() bool {
			res, _ := r.get("/")
			return res.StatusCode == 503 && res.Header.Get("X-Usher-Reason") == string(policy.Overloaded)
		})
		close(release)
		status(t, <-done, 200, "")
		eventually(t, func() bool { res, _ := r.get("/"); return res.StatusCode == 200 })
	}
}

// TestQueueForAPlace: with queue-timeout a request waits for its turn instead.
func TestQueueForAPlace(t *testing.T) {
	var now, most atomic.Int32
	r := newRig(t, tableOf([]string{app(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
	})}, with(func(s *policy.Set) { s.Overload.MaxInFlight, s.Overload.QueueTimeout = 2, 10*time.Second })))
	answers := make(chan int)
	for range 20 {
		go func() { res, _ := r.get("/"); answers <- res.StatusCode }()
	}
	for range 20 {
		if code := <-answers; code != 200 {
			t.Errorf("got %d", code)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d were in flight at a time", most.Load())
	}
}

// TestWaitForEndpoints: a request waits while a Service has no endpoint, and goes on as soon as a table has one.
func TestWaitForEndpoints(t *testing.T) {
	patient := with(func(s *policy.Set) { s.Overload.WaitForEndpoints = 10 * time.Second })
	empty := func() *route.Table {
		table := tableOf(nil, patient)
		table.Backends[0].Reason = policy.NoReadyEndpoints
		return table
	}
	r := newRig(t, empty())
	done := make(chan string)
	go func() {
		_, body := r.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
		done <- body
	}()
	r.swap(empty())
	r.swap(tableOf([]string{app(t, func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) })}, patient))
	if body := <-done; body != "hello" {
		t.Errorf("got %q", body)
	}
	r.swap(tableOf(nil, with(func(s *policy.Set) { s.Overload.WaitForEndpoints = 20 * time.Millisecond }), func(table *route.Table, _ *route.Route) {
		table.Backends[0].Reason = policy.NoEndpoints
	}))
	res, _ := r.get("/")
	status(t, res, 503, policy.NoEndpoints)
}

// TestLimitRate: an answer is slowed down, and arrives whole.
func TestLimitRate(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 640) // 10 KiB
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })}, with(func(s *policy.Set) {
		s.Limit.Bandwidth, s.Limit.BandwidthAfter = 50<<10, 4<<10
	})))
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if res.Body.Close(); string(body) != text || err != nil {
			t.Errorf("%d bytes of %d, %v", len(body), len(text), err)
		}
	}
}

// TestMirror: the copy has method, target, headers and body of the request, under another Host; the client never sees its answer.
func TestMirror(t *testing.T) {
	copies := make(chan string, 10)
	target, _ := url.Parse("http://" + app(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		copies <- fmt.Sprint(req.Method, " ", req.RequestURI, " ", req.Host, " ", req.Header.Get("X-Mine"), " ", string(body))
		w.WriteHeader(500)
	}) + "/copy")
	settings := with(func(s *policy.Set) { s.Mirror = policy.Mirror{Target: target, Body: true, Host: "mirror.test"} })
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) })}, settings))
	res, body := r.send("POST /a%20b?c HTTP/1.1\r\nHost: app.test\r\nX-Mine: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
	if status(t, res, 200, ""); body != "hello" {
		t.Errorf("got %q", body)
	}
	if got := <-copies; got != "POST /copy/a%20b?c mirror.test 1 hello" {
		t.Errorf("the copy was %q", got)
	}
	eventually(t, func() bool {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		return strings.Join(r.log.mirrored, " ") == "sent"
	})
}

// TestMirrorNeverHurts: a target that is down, or never answers, changes nothing for the client.
func TestMirrorNeverHurts(t *testing.T) {
	target, _ := url.Parse("http://" + nowhere(t))
	r := newRig(t, tableOf([]string{app(t, echo)}, with(func(s *policy.Set) { s.Mirror.Target = target })))
	for range 5 {
		res, _ := r.get("/")
		status(t, res, 200, "")
	}
	eventually(t, func() bool {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		return len(r.log.mirrored) == 5
	})
}
