package proxy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// history swaps through tables with random parts of the endpoints, some of them draining, in random order, and ends with all of them.
func (r *rig) history(random *rand.Rand, endpoints []route.Endpoint, tableOf func([]route.Endpoint) *route.Table) {
	for range random.IntN(6) {
		some := slices.Clone(endpoints)
		random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		table := tableOf(some[:1+random.IntN(len(some))])
		if n := random.IntN(len(some)); n > 0 {
			table.Backends[0].Draining = some[:n:n]
			table.Backends[0].Endpoints = some[n:]
		}
		r.swap(table)
		for i := range random.IntN(10) {
			r.get("/", fmt.Sprintf("X-Forwarded-For: 10.9.9.%d", i), "X-User: before")
		}
	}
	last := slices.Clone(endpoints)
	random.Shuffle(len(last), func(i, j int) { last[i], last[j] = last[j], last[i] })
	r.swap(tableOf(last))
}

// TestReplicasAgree: two replicas with the same endpoints choose the same Pod for a session cookie, a client's address and a hash key,
// whatever tables and requests each of them saw before, and in whatever order they know the endpoints.
func TestReplicasAgree(t *testing.T) {
	endpoints := pods(t, 5)
	believe := func(s *policy.Set) {
		s.Forwarded.Use = true
		s.Forwarded.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	ways := map[string]func([]route.Endpoint) *route.Table{
		"ClientIP": func(e []route.Endpoint) *route.Table {
			table := tableOf(nil, with(believe))
			table.Backends[0].Endpoints, table.Backends[0].ClientIP = e, true
			return table
		},
		"hash": func(e []route.Endpoint) *route.Table {
			table := tableOf(nil, with(believe), with(func(s *policy.Set) { s.Balance.HashBy = []policy.Part{{Variable: "http_", Name: "X-User"}} }))
			table.Backends[0].Endpoints = e
			return table
		},
		"balanced cookie":   func(e []route.Endpoint) *route.Table { return sticky(e, nil) },
		"persistent cookie": func(e []route.Endpoint) *route.Table { return sticky(e, persistent) },
	}
	for name, tableOf := range ways {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				one, other := newRig(t, nil), newRig(t, nil)
				one.history(rand.New(rand.NewPCG(seed, 1)), endpoints, tableOf)
				other.history(rand.New(rand.NewPCG(seed, 2)), endpoints, tableOf)
				chosen := map[string]bool{}
				for client := range 20 {
					lines := []string{fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", client), fmt.Sprintf("X-User: user%d", client)}
					if strings.HasSuffix(name, "cookie") {
						_, cookie, _ := one.visit("")
						lines = append(lines, "Cookie: "+cookie)
					}
					_, here := one.get("/", lines...)
					res, there := other.get("/", lines...)
					if here != there || res.Header.Get("Set-Cookie") != "" {
						t.Fatalf("seed %d, client %d: one replica chooses %s, the other %s and sets %q", seed, client, here, there, res.Header.Get("Set-Cookie"))
					}
					chosen[here] = true
				}
				if len(chosen) < 3 {
					t.Errorf("twenty clients are on %v", chosen)
				}
			}
		})
	}
}

// TestTokenOutlivesTheAddress: a StatefulSet's Pod that comes back under another address, and any Pod that keeps its UID, has the same
// token; and a token never changes with the address alone.
func TestTokenOutlivesTheAddress(t *testing.T) {
	named := func(e []route.Endpoint) []route.Endpoint {
		e[0].Pod, e[0].PodUID = "web-0", "" // a StatefulSet's Pod has another UID after each restart
		e[1].Pod, e[1].PodUID = "web-abcde", "the same"
		return e
	}
	before, after := named(pods(t, 3)), named(pods(t, 3))
	before[0].PodUID, after[0].PodUID = "first life", "second life"
	for i := range 2 {
		r := newRig(t, sticky(before[i:i+1], persistent))
		_, cookie, _ := r.visit("")
		r.swap(sticky(after, persistent))
		want := after[i].Addr.String()
		for range 5 {
			if _, _, set := r.visit(cookie); set != "" {
				t.Errorf("%s: the cookie is replaced by %q", before[i].Pod, set)
			}
		}
		r.log.mu.Lock()
		if last := r.log.picks[len(r.log.picks)-5:]; slices.ContainsFunc(last, func(a string) bool { return a != want }) {
			t.Errorf("%s: went to %v, want %s", before[i].Pod, last, want)
		}
		r.log.mu.Unlock()
	}
}
