package pool

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func endpoints(p *Pool, n int) ([]*Endpoint, []uint64) {
	var all []*Endpoint
	var seeds []uint64
	for i := range n {
		all = append(all, p.Endpoint(Key{Address: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1)}))
		seeds = append(seeds, Hash(fmt.Sprintf("pod-%d", i)))
	}
	return all, seeds
}

// chi is the chi-square statistic of counts that should be equal.
func chi(counts []int) float64 {
	sum := 0
	for _, c := range counts {
		sum += c
	}
	want, x := float64(sum)/float64(len(counts)), 0.0
	for _, c := range counts {
		x += (float64(c) - want) * (float64(c) - want) / want
	}
	return x
}

// TestEverybodyGetsTheirShare: 20,000 requests over 20 endpoints are spread evenly by every way of choosing. 43.8 is the value that
// chance exceeds once in a thousand times with 19 degrees of freedom; the numbers are fixed, so the test does not depend on luck.
func TestEverybodyGetsTheirShare(t *testing.T) {
	all, seeds := endpoints(New(Options{}), 20)
	ring := NewRing(seeds)
	random := rand.New(rand.NewPCG(1, 2))
	for name, choose := range map[string]func(c *Candidates, n int) int{
		"round robin":   func(c *Candidates, n int) int { return c.RoundRobin(uint32(n)) },
		"least request": func(c *Candidates, _ int) int { return c.LeastRequest(random.Uint64()) },
		"rendezvous":    func(c *Candidates, n int) int { return c.Rendezvous(Hash(fmt.Sprint("client-", n)), seeds) },
		"addresses": func(c *Candidates, n int) int {
			return c.Rendezvous(Hash(fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)), seeds)
		},
		"subset": func(c *Candidates, n int) int {
			return c.Subset(Hash(fmt.Sprint(n)), seeds, ring, Draw{3, random.Uint32()})
		},
	} {
		counts := make([]int, len(all))
		for n := range 20000 {
			counts[choose(&Candidates{Endpoints: all}, n)]++
		}
		if x := chi(counts); x > 43.8 {
			t.Errorf("%s: chi-square %.1f for %v", name, x, counts)
		}
	}
}

// TestRendezvousMovesNoMoreThanItMust: who was not at home on the endpoint that left stays; one that joins takes only its share.
func TestRendezvousMovesNoMoreThanItMust(t *testing.T) {
	all, seeds := endpoints(New(Options{}), 11)
	before := Candidates{Endpoints: all[:10]}
	after := Candidates{Endpoints: all}
	moved := 0
	for n := range 10000 {
		key := Hash(fmt.Sprint(n))
		old, now := before.Rendezvous(key, seeds[:10]), after.Rendezvous(key, seeds)
		if old != now {
			if moved++; now != 10 {
				t.Fatalf("key %d moved between endpoints that both stayed", n)
			}
		}
	}
	if moved < 700 || moved > 1100 {
		t.Errorf("%d of 10000 keys moved to the eleventh endpoint; want about 909", moved)
	}
}

// TestReplicasAgree: the order in which a replica knows the endpoints does not matter.
func TestReplicasAgree(t *testing.T) {
	all, seeds := endpoints(New(Options{}), 7)
	other, otherSeeds := []*Endpoint{}, []uint64{}
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(7) {
		other, otherSeeds = append(other, all[i]), append(otherSeeds, seeds[i])
	}
	for n := range 1000 {
		key := Hash(fmt.Sprint(n))
		a := (&Candidates{Endpoints: all}).Rendezvous(key, seeds)
		b := (&Candidates{Endpoints: other}).Rendezvous(key, otherSeeds)
		if all[a] != other[b] {
			t.Fatalf("key %d: %s here, %s there", n, all[a].Address(), other[b].Address())
		}
	}
}

func TestNeverTheSameTwiceWhileAnotherIsLeft(t *testing.T) {
	all, seeds := endpoints(New(Options{}), 5)
	for name, choose := range map[string]func(c *Candidates) int{
		"round robin": func(c *Candidates) int { return c.RoundRobin(3) }, "ewma": func(c *Candidates) int { return c.EWMA(12345) },
		"rendezvous": func(c *Candidates) int { return c.Rendezvous(7, seeds) },
	} {
		c := Candidates{Endpoints: all}
		seen := map[int]bool{}
		for range all {
			i := choose(&c)
			if i < 0 || seen[i] {
				t.Fatalf("%s: got %d after %v", name, i, c.Tried)
			}
			seen[i] = true
			c.Tried = append(c.Tried, i)
		}
		if i := choose(&c); i != -1 {
			t.Errorf("%s: got %d when all were tried", name, i)
		}
	}
}

func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		all, _ := endpoints(p, 4)
		g := p.Group("g")
		rule := Ejection{After: 3, For: 10 * time.Second}
		fail := func(e *Endpoint) { e.Begin(); g.Failed(e, all, rule, Refused) }
		picks := func() map[int]int {
			counts := map[int]int{}
			for n := range 40 {
				counts[(&Candidates{Endpoints: all}).RoundRobin(uint32(n))]++
			}
			return counts
		}
		fail(all[0])
		fail(all[0])
		if picks()[0] == 0 {
			t.Fatal("two failures eject nobody")
		}
		fail(all[0])
		if picks()[0] != 0 || all[0].Status().State != "ejected" {
			t.Fatalf("three failures eject: %v %s", picks(), all[0].Status().State)
		}
		time.Sleep(10 * time.Second)
		if picks()[0] == 0 || all[0].Status().State != "probing" {
			t.Fatal("after its time it is probed", picks(), all[0].Status(), all[0].ejected.Load())
		}
		all[0].Begin()
		if picks()[0] != 0 {
			t.Error("one probe at a time")
		}
		g.Failed(all[0], all, rule, Refused)
		time.Sleep(19 * time.Second)
		if picks()[0] != 0 {
			t.Error("a failed probe ejects for twice as long")
		}
		time.Sleep(time.Second)
		all[0].Begin()
		all[0].End(true)
		if picks()[0] != 10 || all[0].Status().State != "ok" {
			t.Error("a successful probe restores", picks())
		}
		for _, e := range all {
			for range 5 {
				fail(e)
			}
		}
		out := 0
		for _, e := range all {
			if e.Status().State == "ejected" {
				out++
			}
		}
		if out != 2 {
			t.Errorf("%d of 4 are ejected; want half", out)
		}
	})
}

func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		old, _ := endpoints(p, 3)
		time.Sleep(time.Minute)
		all := append(old, p.Endpoint(Key{Address: "10.9.9.9:80"}))
		share := func() int {
			count := 0
			for n := range 4000 {
				if (&Candidates{Endpoints: all, SlowStart: 30 * time.Second}).RoundRobin(uint32(n)) == 3 {
					count++
				}
			}
			return count
		}
		first := share()
		time.Sleep(15 * time.Second)
		half := share()
		time.Sleep(15 * time.Second)
		if whole := share(); first < 60 || first > 160 || half < 420 || half > 580 || whole != 1000 {
			t.Errorf("of 4000 requests the new one got %d, then %d, then %d; want about 100, 500, 1000", first, half, whole)
		}
	})
}

func TestEWMAPrefersTheFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		all, _ := endpoints(p, 2)
		time.Sleep(time.Second)
		all[0].Answered(100 * time.Millisecond)
		all[1].Answered(10 * time.Millisecond)
		pick := func() int { return (&Candidates{Endpoints: all}).EWMA(rand.Uint64()) }
		for range 20 {
			if pick() != 1 {
				t.Fatal("want the faster one")
			}
		}
		for range 15 {
			all[1].Begin()
		}
		if pick() != 0 {
			t.Error("sixteen times 10 ms is longer than once 100 ms")
		}
		for range 15 {
			all[1].End(true)
		}
		for range 60 {
			time.Sleep(time.Second)
			all[0].Answered(time.Millisecond)
			all[1].Answered(10 * time.Millisecond)
		}
		if pick() != 0 {
			t.Error("the past is forgotten", all[0].Status(), all[1].Status())
		}
	})
}

// TestEWMADoesNotFloodTheNew: an endpoint of which nothing is known yet counts as if it were as fast as the others, so it gets no more
// requests at a time than they do.
func TestEWMADoesNotFloodTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		all, _ := endpoints(p, 4)
		time.Sleep(time.Second)
		for _, e := range all[:3] {
			e.Answered(10 * time.Millisecond)
		}
		random := rand.New(rand.NewPCG(5, 6))
		for range 400 {
			all[(&Candidates{Endpoints: all}).EWMA(random.Uint64())].Begin()
		}
		if n := all[3].InFlight(); n < 50 || n > 150 {
			t.Errorf("of 400 requests that are not answered yet the new one has %d", n)
		}
	})
}

func TestRetryBudget(t *testing.T) {
	g := New(Options{}).Group("g")
	spent := 0
	for g.MayRetry() {
		spent++
	}
	if spent != 100 {
		t.Errorf("a quiet group has %d retries, want 100", spent)
	}
	for n, retries := 0, 0; n < 1000; n++ {
		g.Requested()
		if g.MayRetry() {
			retries++
		}
		if n == 999 && retries != 200 {
			t.Errorf("%d of 1000 requests were repeated, want a fifth", retries)
		}
	}
}

// TestSubset: a key is at home in as many endpoints as were asked for, the same on every replica, and few keys notice that one leaves.
func TestSubset(t *testing.T) {
	all, seeds := endpoints(New(Options{}), 20)
	other, otherSeeds := slices.Clone(all), slices.Clone(seeds)
	slices.Reverse(other)
	slices.Reverse(otherSeeds)
	c, d := Candidates{Endpoints: all}, Candidates{Endpoints: other}
	fewer := Candidates{Endpoints: all[:19]}
	home := func(c *Candidates, seeds []uint64, key uint64) map[*Endpoint]bool {
		ring, found := NewRing(seeds), map[*Endpoint]bool{}
		for n := range uint32(4) {
			found[c.Endpoints[c.Subset(key, seeds, ring, Draw{4, n << 30})]] = true
		}
		return found
	}
	changed := 0
	for n := range 500 {
		key := Hash(fmt.Sprint(n))
		here := home(&c, seeds, key)
		if len(here) != 4 {
			t.Fatalf("key %d is at home in %d endpoints, want 4", n, len(here))
		}
		if !maps.Equal(here, home(&d, otherSeeds, key)) {
			t.Fatalf("key %d: another subset on another replica", n)
		}
		if !maps.Equal(here, home(&fewer, seeds[:19], key)) {
			if changed++; !here[all[19]] {
				t.Fatalf("key %d has another subset, although it had nothing to do with the endpoint that left", n)
			}
		}
	}
	if changed < 50 || changed > 150 { // a fifth of the keys were at home there
		t.Errorf("%d of 500 keys have another subset, want about 100", changed)
	}
	// Endpoints of the subset that were tried are passed over, and the others of the group come after them.
	key, ring := Hash("x"), NewRing(seeds)
	for range len(all) {
		i := c.Subset(key, seeds, ring, Draw{4, 7})
		if i < 0 || slices.Contains(c.Tried, i) {
			t.Fatalf("%d after %v", i, c.Tried)
		}
		c.Tried = append(c.Tried, i)
	}
	for i, inSubset := range c.Tried {
		if want := home(&d, otherSeeds, key)[all[inSubset]]; want != (i < 4) {
			t.Errorf("try %d goes to endpoint %d", i, inSubset)
		}
	}
	if i := c.Subset(key, seeds, ring, Draw{4, 7}); i != -1 {
		t.Errorf("all were tried, and %d is chosen", i)
	}
}

// TestChoosingAllocatesNothing is the budget of a pick; BenchmarkChoose tells its time, at most 100 ns at 100 endpoints.
func TestChoosingAllocatesNothing(t *testing.T) {
	for name, choose := range everyBalancer(New(Options{})) {
		n := uint64(0)
		if got := testing.AllocsPerRun(1000, func() { n++; choose(n) }); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// everyBalancer is each way to choose, among 100 endpoints.
func everyBalancer(p *Pool) map[string]func(n uint64) int {
	all, seeds := endpoints(p, 100)
	ring := NewRing(seeds)
	c := Candidates{Endpoints: all}
	slow := Candidates{Endpoints: all, SlowStart: time.Hour}
	return map[string]func(n uint64) int{
		"RoundRobin":   func(n uint64) int { return c.RoundRobin(uint32(n)) },
		"LeastRequest": func(n uint64) int { return c.LeastRequest(n * 0x9e3779b97f4a7c15) },
		"EWMA":         func(n uint64) int { return c.EWMA(n * 0x9e3779b97f4a7c15) },
		"Rendezvous":   func(n uint64) int { return c.Rendezvous(n, seeds) },
		"Subset":       func(n uint64) int { return c.Subset(n, seeds, ring, Draw{3, uint32(n) * 0x9e3779b9}) },
		"SlowStart":    func(n uint64) int { return slow.RoundRobin(uint32(n)) },
	}
}

// BenchmarkChoose: `go test ./pkg/pool -run xx -bench Choose -benchmem -benchtime 10ms -count 20`, the best of twenty rounds on an EPYC that
// did other things too: RoundRobin 7 ns, LeastRequest 16, EWMA 25, SlowStart 72 while all 100 endpoints are new, Subset 97, Rendezvous
// (upstream-hash-by, ClientIP, session cookies) 100. No allocations.
func BenchmarkChoose(b *testing.B) {
	for name, choose := range everyBalancer(New(Options{})) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				choose(n)
			}
		})
	}
}

// TestPreferred finds what a plain search finds, for any number of endpoints.
func TestPreferred(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for n := range 70 {
		seeds := make([]uint64, n)
		for i := range seeds {
			seeds[i] = random.Uint64()
		}
		for range 50 {
			key := random.Uint64()
			if got, want := Preferred(key, seeds), preferredOfMany(key, seeds); got != want {
				t.Fatalf("%d endpoints: %d, want %d", n, got, want)
			}
		}
	}
	if many := make([]uint64, indexMask+1); Preferred(1, many) < 0 {
		t.Error("nobody is preferred among very many")
	}
}

// TestHashIsForever: replicas of two releases run side by side and have to choose alike.
func TestHashIsForever(t *testing.T) {
	for text, want := range map[string]uint64{"": 0xbf62932845490508, "a": 0x436f926d0e0d59fc, "192.0.2.1": 0x1707a9be81748f8d, "12345678": 0x5b0611b47b03eb8a, "/a/path?with=query": 0xb2d0697d5f3e2e84} {
		if got := Hash(text); got != want {
			t.Errorf("%q: %#x, want %#x", text, got, want)
		}
	}
	if got := score(1, 2); got != 0xdaa66d2c7ddf743e {
		t.Errorf("score: %#x", got)
	}
}
