package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// generation makes a table whose route and endpoints say the same number: the route in the Host sent upstream, the endpoint in its
// answer. Backends beside it change as well, and some stay.
func generation(n int, address string, steady *route.Backend) *route.Table {
	table := tableOf([]string{address}, with(func(s *policy.Set) { s.Upstream.VHost = fmt.Sprintf("gen-%d.test", n) }))
	table.Generation = uint64(n)
	table.Backends[0].Name = fmt.Sprintf("demo/app-%d:80", n%3) // sometimes the name changes with the rest
	if n%2 == 0 {
		table.Backends = append(table.Backends, steady)
	} else {
		table.Backends = []*route.Backend{steady, table.Backends[0]}
		table.Hosts.Find("app.test").Paths.All()[0].Backend = 1
	}
	return table
}

// TestSwapsUnderLoad: a thousand swaps, no failed request, and no request that sees two generations.
func TestSwapsUnderLoad(t *testing.T) {
	const swaps, apps, clients = 1000, 8, 8
	addresses := make([]string, apps)
	for i := range addresses {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %d", r.Host, i)
		}))
		defer s.Close()
		addresses[i] = s.Listener.Addr().String()
	}
	steady := backendOf("demo/steady:80", addresses[0])
	r := newRig(t, generation(0, addresses[0], steady))
	var stop atomic.Bool
	var answered atomic.Int64
	var running sync.WaitGroup
	for range clients {
		running.Go(func() { swapClient(t, r.plain, apps, &stop, &answered) })
	}
	for n := 1; n <= swaps; n++ {
		r.swap(generation(n, addresses[n%apps], steady))
		if n%5 == 0 { // some generations only flash by, others answer something
			before := answered.Load()
			eventually(t, func() bool { return t.Failed() || answered.Load() > before })
		}
	}
	stop.Store(true)
	running.Wait()
	t.Logf("%d requests over %d swaps", answered.Load(), swaps)
	if n := len(r.pool.Snapshot()); n != 1 {
		t.Errorf("the pool still has %d endpoints: %+v", n, r.pool.Snapshot())
	}
}

// swapClient asks on one connection, again and again, and compares what route and endpoint say.
func swapClient(t *testing.T, address string, apps int, stop *atomic.Bool, answered *atomic.Int64) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for served := 0; !stop.Load(); served++ {
		if served == 900 { // the server ends a connection after a thousand
			swapClient(t, address, apps, stop, answered)
			return
		}
		method, body := "GET", ""
		if served%3 == 0 {
			method, body = "POST", "hello"
		}
		fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Error(err)
			return
		}
		text, err := io.ReadAll(res.Body)
		var of, by int
		if _, serr := fmt.Sscanf(string(text), "gen-%d.test %d", &of, &by); err != nil || serr != nil || res.StatusCode != 200 {
			t.Errorf("%s %q %v", res.Status, text, err)
			return
		}
		if of%apps != by {
			t.Errorf("route of generation %d, answered by the endpoint of %d", of, by)
			return
		}
		answered.Add(1)
	}
}

// TestEndpointsComeAndGo: what a swap does to connections.
func TestEndpointsComeAndGo(t *testing.T) {
	closed := make(chan string, 10)
	keeper := func(name string, hold chan struct{}) string {
		return raw(t, func(c net.Conn) {
			in := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(in); err != nil {
					closed <- name
					return
				}
				if hold != nil {
					<-hold
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
			}
		})
	}
	hold := make(chan struct{})
	a, b, slow := keeper("a", nil), keeper("b", nil), keeper("slow", hold)
	r := newRig(t, tableOf([]string{a, b}))
	for range 4 {
		r.get("/")
	}
	dials := func() (n int64) {
		for _, s := range r.pool.Snapshot() {
			n += s.Dials
		}
		return n
	}
	if n := dials(); n != 2 {
		t.Errorf("%d dials", n)
	}
	r.swap(tableOf([]string{b, slow})) // a leaves: its idle connection closes at once; b keeps its own
	if name := <-closed; name != "a" {
		t.Errorf("%s was closed", name)
	}
	var waiting sync.WaitGroup
	answers := make(chan string, 4)
	for range 2 {
		waiting.Go(func() {
			_, body := r.get("/")
			answers <- body
		})
	}
	eventually(t, func() bool {
		for _, s := range r.pool.Snapshot() {
			if s.Address == slow && s.InFlight == 1 {
				return true
			}
		}
		return false
	})
	if n := dials(); n != 2 { // b's of before, slow's
		t.Errorf("%d dials", n)
	}
	r.swap(tableOf([]string{b})) // slow leaves with a request in flight, which finishes; then its connection closes
	close(hold)
	waiting.Wait()
	close(answers)
	var got []string
	for body := range answers {
		got = append(got, body)
	}
	if all := strings.Join(got, " "); all != "b slow" && all != "slow b" {
		t.Errorf("answers: %s", all)
	}
	if name := <-closed; name != "slow" {
		t.Errorf("%s was closed", name)
	}
}

// TestRoundRobinSurvivesSwaps: the turn belongs to the backend's name.
func TestRoundRobinSurvivesSwaps(t *testing.T) {
	var addresses []string
	for range 4 {
		addresses = append(addresses, app(t, echo))
	}
	r := newRig(t, tableOf(addresses))
	for i := range 40 {
		r.get("/")
		if i%5 == 0 {
			r.swap(tableOf(addresses))
		}
	}
	for _, s := range r.pool.Snapshot() {
		if s.Picks != 10 {
			t.Errorf("%s was picked %d times", s.Address, s.Picks)
		}
	}
}
