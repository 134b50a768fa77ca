package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// pods starts n applications that answer with their name.
func pods(t *testing.T, n int) (endpoints []route.Endpoint) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("app-6d4f5-%c%c%c%c%c", 'b'+i, 'x', 'y', 'z', 'w')
		addr := app(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
		endpoints = append(endpoints, route.Endpoint{Addr: netip.MustParseAddrPort(addr), Pod: name, PodUID: "uid-" + name, Ready: true, Serving: true})
	}
	return endpoints
}

// sticky makes a table with session cookies for the endpoints.
func sticky(endpoints []route.Endpoint, change func(*policy.Sticky)) *route.Table {
	table := tableOf(nil, with(func(s *policy.Set) {
		s.Sticky.On = true
		if change != nil {
			change(&s.Sticky)
		}
	}))
	table.Backends[0].Endpoints = endpoints
	table.StickyKeys = &policy.StickyKeys{[]byte("0123456789abcdef")}
	return table
}

func persistent(s *policy.Sticky) { s.Persistent = true }

// visit asks once with a cookie and returns the Pod that answered and the cookie to keep.
func (r *rig) visit(cookie string) (pod, kept, set string) {
	r.t.Helper()
	lines := []string{}
	if cookie != "" {
		lines = append(lines, "Cookie: other=1; "+cookie)
	}
	res, body := r.get("/", lines...)
	if res.StatusCode != 200 {
		r.t.Fatalf("%s: %s", res.Status, body)
	}
	set = res.Header.Get("Set-Cookie")
	if set == "" {
		return body, cookie, ""
	}
	kept, _, _ = strings.Cut(set, ";")
	return body, kept, set
}

func TestSessionCookie(t *testing.T) {
	for mode, change := range map[string]func(*policy.Sticky){"balanced": nil, "persistent": persistent} {
		t.Run(mode, func(t *testing.T) {
			endpoints := pods(t, 5)
			r, replica := newRig(t, sticky(endpoints, change)), newRig(t, sticky(endpoints, change))
			seen := map[string]bool{}
			for range 20 {
				pod, cookie, set := r.visit("")
				seen[pod] = true
				if set == "" || !strings.Contains(set, "; Path=/; HttpOnly") || strings.Contains(set, "Secure") {
					t.Fatalf("Set-Cookie: %q", set)
				}
				for _, e := range endpoints {
					if strings.Contains(cookie, e.Addr.Addr().String()) || strings.Contains(cookie, e.Pod) {
						t.Fatalf("the cookie tells: %q", cookie)
					}
				}
				for range 3 {
					if again, _, set := r.visit(cookie); again != pod || set != "" {
						t.Fatalf("was on %s, now on %s with %q", pod, again, set)
					}
				}
				if there, _, set := replica.visit(cookie); there != pod || set != "" {
					t.Fatalf("another replica takes %s to %s", pod, there)
				}
			}
			if len(seen) < 3 {
				t.Errorf("twenty clients were spread over %v", seen)
			}
		})
	}
}

func TestForgedCookiesAreReplaced(t *testing.T) {
	for mode, change := range map[string]func(*policy.Sticky){"balanced": nil, "persistent": persistent} {
		r := newRig(t, sticky(pods(t, 3), change))
		_, honest, _ := r.visit("")
		for _, forged := range []string{"INGRESSCOOKIE=x", "INGRESSCOOKIE=127.0.0.1:80", honest + "A", honest[:len(honest)-2] + "xx", "INGRESSCOOKIE="} {
			if _, _, set := r.visit(forged); set == "" {
				t.Errorf("%s: %q was believed", mode, forged)
			}
		}
	}
}

// TestScaling: persistent sessions move only when their Pod is gone, and then once; the request itself succeeds. Balanced ones give
// a share to a new Pod.
func TestScaling(t *testing.T) {
	endpoints := pods(t, 6)
	for mode, change := range map[string]func(*policy.Sticky){"balanced": nil, "persistent": persistent} {
		r := newRig(t, sticky(endpoints[:4], change))
		homes := map[string]string{}
		for range 40 {
			pod, cookie, _ := r.visit("")
			homes[cookie] = pod
		}
		r.swap(sticky(endpoints, change)) // two more
		moved := 0
		for cookie, home := range homes {
			pod, _, _ := r.visit(cookie)
			if pod != home {
				moved++
				homes[cookie] = pod
			}
		}
		if mode == "persistent" && moved != 0 || mode == "balanced" && (moved == 0 || moved > 30) {
			t.Errorf("%s: %d of 40 sessions moved when two Pods joined", mode, moved)
		}
		r.swap(sticky(endpoints[1:], change)) // one leaves
		for cookie, home := range homes {
			pod, kept, _ := r.visit(cookie)
			if home != endpoints[0].Pod && pod != home {
				t.Errorf("%s: a session on %s moved to %s, though its Pod stayed", mode, home, pod)
			}
			if again, _, set := r.visit(kept); again != pod || set != "" {
				t.Errorf("%s: pinned to %s, then on %s", mode, pod, again)
			}
		}
	}
}

// TestHoldersKeepATerminatingPod: who has a session on a Pod that is going away stays while it serves; nobody new comes.
func TestHoldersKeepATerminatingPod(t *testing.T) {
	endpoints := pods(t, 3)
	for mode, change := range map[string]func(*policy.Sticky){"balanced": nil, "persistent": persistent} {
		r := newRig(t, sticky(endpoints, change))
		cookie := ""
		for pod := ""; pod != endpoints[2].Pod; {
			pod, cookie, _ = r.visit("")
		}
		table := sticky(endpoints[:2], change)
		going := endpoints[2]
		going.Ready, going.Terminating = false, true
		table.Backends[0].Draining = []route.Endpoint{going}
		r.swap(table)
		if pod, _, set := r.visit(cookie); pod != going.Pod || set != "" {
			t.Errorf("%s: the holder was sent to %s", mode, pod)
		}
		for range 20 {
			pod, fresh, _ := r.visit("")
			if again, _, _ := r.visit(fresh); pod == going.Pod || again != pod {
				t.Errorf("%s: a new session is on %s, then %s", mode, pod, again)
			}
		}
		r.swap(sticky(endpoints[:2], change))
		pod, kept, _ := r.visit(cookie)
		if again, _, set := r.visit(kept); again != pod || set != "" {
			t.Errorf("%s: one re-pin, not two: %s, %s", mode, pod, again)
		}
	}
}

// TestStatefulPodsKeepTheirSessions: a Pod of a StatefulSet that comes back under its name, with another UID and address, has its
// sessions back.
func TestStatefulPodsKeepTheirSessions(t *testing.T) {
	first := pods(t, 2)
	second := pods(t, 2)
	for i := range first {
		first[i].Pod, second[i].Pod = fmt.Sprintf("db-%d", i), fmt.Sprintf("db-%d", i)
		second[i].PodUID = "another-" + second[i].PodUID
	}
	r := newRig(t, sticky(first, persistent))
	_, cookie, _ := r.visit("")
	home := r.record(1).Tries[0].Address
	r.swap(sticky(second, persistent))
	r.visit(cookie)
	now := r.record(2).Tries[0].Address
	for i := range first {
		if first[i].Address() == home && second[i].Address() != now {
			t.Errorf("the session of db-%d went to %s", i, now)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	endpoints := pods(t, 4)
	for mode, change := range map[string]func(*policy.Sticky){"balanced": nil, "persistent": persistent} {
		old, fresh := []byte("0123456789abcdef"), []byte("fedcba9876543210")
		r := newRig(t, sticky(endpoints, change))
		pod, cookie, _ := r.visit("")
		table := sticky(endpoints, change)
		table.StickyKeys = &policy.StickyKeys{fresh, old}
		r.swap(table)
		if now, _, set := r.visit(cookie); now != pod || set != "" {
			t.Errorf("%s: the previous key is not accepted: %s to %s", mode, pod, now)
		}
		table = sticky(endpoints, change)
		table.StickyKeys = &policy.StickyKeys{fresh}
		r.swap(table)
		if _, _, set := r.visit(cookie); set == "" {
			t.Errorf("%s: a key that was taken away is still accepted", mode)
		}
	}
}

// TestCookieAfterFailure: the Pod of a session refuses; the request succeeds elsewhere, and the cookie changes only if that was asked.
func TestCookieAfterFailure(t *testing.T) {
	for _, change := range []bool{false, true} {
		for _, stays := range []bool{true, false} {
			endpoints := pods(t, 2)
			settings := func(s *policy.Sticky) { s.Persistent, s.ChangeOnFailure = stays, change }
			r := newRig(t, sticky(endpoints, settings))
			pod, cookie, _ := r.visit("")
			broken := append([]route.Endpoint(nil), endpoints...)
			for i := range broken {
				if broken[i].Pod == pod {
					broken[i].Addr = netip.MustParseAddrPort(nowhere(t))
				}
			}
			r.swap(sticky(broken, settings))
			other, kept, set := r.visit(cookie)
			if other == pod || (set != "") != change {
				t.Errorf("change %v, persistent %v: %s to %s, Set-Cookie %q", change, stays, pod, other, set)
			}
			if change {
				if again, _, set := r.visit(kept); again != other || set != "" {
					t.Errorf("persistent %v: the new cookie leads to %s, not %s", stays, again, other)
				}
			}
		}
	}
}

// TestSessionsOfAnEjectedPod: while the Pod of a session is left alone the session's requests go elsewhere without a try on it, not to
// one that is terminating, and the cookie stays; when the Pod is well again they come back.
func TestSessionsOfAnEjectedPod(t *testing.T) {
	for mode, change := range map[string]func(*policy.Sticky){"balanced": nil, "persistent": persistent} {
		var ill atomic.Bool
		endpoints := pods(t, 4)
		endpoints[0].Addr = netip.MustParseAddrPort(raw(t, func(c net.Conn) {
			if _, from := readHead(c); !ill.Load() {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfirst")
				_, _ = io.Copy(io.Discard, from)
			}
		}))
		table := sticky(endpoints[:3], change)
		table.Backends[0].Draining = endpoints[3:]
		set := *table.Policy
		set.Health.MaxFails, set.Health.EjectFor = 1, time.Hour
		table.Hosts.All()[0].Paths.All()[0].Policy = &set
		r := newRig(t, table)
		cookie := ""
		for pod := ""; pod != "first"; {
			pod, cookie, _ = r.visit("")
		}
		ill.Store(true)
		r.visit(cookie) // finds out
		r.log.mu.Lock()
		r.log.picks = nil
		r.log.mu.Unlock()
		stand := ""
		for range 5 {
			pod, _, set := r.visit(cookie)
			if set != "" || pod == endpoints[3].Pod || mode == "balanced" && stand != "" && pod != stand {
				t.Errorf("%s: %s stands in after %s, Set-Cookie %q", mode, pod, stand, set)
			}
			stand = pod
		}
		r.log.mu.Lock()
		if picks := r.log.picks; slices.Contains(picks, endpoints[0].Address()) {
			t.Errorf("%s: %v were tried", mode, picks)
		}
		r.log.mu.Unlock()
		ill.Store(false)
		well := r.pool.Endpoint(pool.Key{Service: "demo/app", Address: endpoints[0].Address()})
		well.Begin()
		well.End(true)
		r.pool.Release(well)
		if pod, _, _ := r.visit(cookie); pod != "first" {
			t.Errorf("%s: %s, though the Pod is well again", mode, pod)
		}
	}
}

func TestCookieAttributes(t *testing.T) {
	table := sticky(pods(t, 1), func(s *policy.Sticky) {
		s.Name, s.Path, s.Domain, s.MaxAge, s.SameSite = "route", "/shop", "app.test", 3600, "None"
	})
	r := newRig(t, table)
	_, _, set := r.visit("")
	wants(t, set, "route=", "; Path=/shop", "; Domain=app.test", "; Max-Age=3600", "; HttpOnly")
	lacks(t, set, "SameSite", "Secure")
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://app.test/", nil)
	res, err := r.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wants(t, res.Header.Get("Set-Cookie"), "; Secure", "; SameSite=None")
}

// TestClientIP: sessionAffinity: ClientIP goes by the resolved address, alike on every replica.
func TestClientIP(t *testing.T) {
	endpoints := pods(t, 5)
	table := func() *route.Table {
		table := tableOf(nil, with(func(s *policy.Set) { s.Forwarded.Use = true }))
		table.Backends[0].Endpoints, table.Backends[0].ClientIP = endpoints, true
		return table
	}
	r, replica := newRig(t, table()), newRig(t, table())
	seen := map[string]bool{}
	for i := range 30 {
		from := fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", i)
		_, first := r.get("/", from)
		_, again := r.get("/", from)
		_, there := replica.get("/", from)
		if first != again || first != there {
			t.Errorf("client %d: %s, %s, and %s on another replica", i, first, again, there)
		}
		seen[first] = true
	}
	if len(seen) < 4 {
		t.Errorf("thirty clients share %v", seen)
	}
}

func TestHashBy(t *testing.T) {
	set, problems := policy.Parse(policy.Default(), policy.Input{Prefixes: []string{"u/"},
		Values: map[string]string{"u/upstream-hash-by": "${http_x_user}-$arg_page$cookie_c-$host$uri"}})
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	table := tableOf(nil, with(func(s *policy.Set) { s.Balance = set.Balance }))
	table.Backends[0].Endpoints = pods(t, 6)
	r := newRig(t, table)
	seen := map[string]bool{}
	for i := range 20 {
		ask := func(page int) string {
			_, body := r.get(fmt.Sprintf("/a?x=%d&page=%d", i, page), "X-User: u1", "Cookie: c=v")
			return body
		}
		if a, b := ask(i), ask(i); a != b {
			t.Errorf("page %d is on %s and %s", i, a, b)
		}
		seen[ask(i)] = true
	}
	if len(seen) < 3 {
		t.Errorf("twenty pages share %v", seen)
	}
}

// TestVariables reads names in any case, as nginx does, and cookies from all Cookie fields.
func TestVariables(t *testing.T) {
	set, problems := policy.Parse(policy.Default(), policy.Input{Prefixes: []string{"u/"}, Values: map[string]string{"u/upstream-hash-by": "$arg_user$cookie_side"}})
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	table := tableOf(nil, with(func(s *policy.Set) { s.Balance = set.Balance }))
	table.Backends[0].Endpoints = pods(t, 6)
	r := newRig(t, table)
	for i := range 10 {
		_, want := r.get(fmt.Sprintf("/?user=%d", i), "Cookie: side=a; x=y")
		for _, lines := range [][]string{{"Cookie: SIDE=a"}, {"Cookie: x=y", "Cookie: side=a"}} {
			if _, got := r.get(fmt.Sprintf("/?z&USER=%d", i), lines...); got != want {
				t.Errorf("user %d with %v is on %s, not %s", i, lines, got, want)
			}
		}
	}
}
