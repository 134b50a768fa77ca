package decide_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/policy"
)

var (
	requests = flag.Int("agree", 10_000, "how many requests TestTheProxyDoesWhatExplainSays makes")
	seed     = flag.Uint64("agree-seed", 0, "of the first table; 0 is by chance")
)

// perTable is how many requests are made of each table.
const perTable = 100

// TestTheProxyDoesWhatExplainSays: of random tables and requests, what a client and an endpoint see over real listeners is what explain
// says: status, reason, Location, backend, protocol, and target, Host and fields of the request that goes on. For a million:
//
//	go test ./pkg/decide -run Explain -agree 1000000 -timeout 2h
func TestTheProxyDoesWhatExplainSays(t *testing.T) {
	f := newFront(t)
	first, seen := *seed, map[string]int{}
	if first == 0 {
		first = rand.Uint64() >> 16 //nolint:gosec // chance
	}
	for n := range uint64(max(1, *requests/perTable)) { //nolint:gosec // positive
		g := &generator{Rand: rand.New(rand.NewPCG(first+n, 0)), front: f} //nolint:gosec // repeatable
		table := g.table()
		f.swap(table)
		for range perTable {
			r := g.request()
			e, err := explain.Explain(table, r.question())
			if err != nil {
				t.Fatalf("-agree-seed %d: %s: %v", first+n, r, err)
			}
			got := f.send(r)
			seen[said(e)]++
			if problem := disagree(e, got); problem != "" {
				t.Errorf("-agree-seed %d: %s\n%s\n%s", first+n, r, problem, e.Text(false))
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	if *requests >= 10_000 {
		coverage(t, seen)
	}
}

// coverage holds that the generator reaches every kind of decision.
func coverage(t *testing.T, seen map[string]int) {
	t.Helper()
	for _, reason := range []policy.Reason{
		"endpoint", "200", policy.BadRequest, policy.NoHost, policy.NoPath, policy.HTTPSRedirect, policy.Redirected, policy.Misdirected,
		policy.NoClientCertificate, policy.BadClientCertificate, policy.ClientCertificateDenied, policy.ClientCAUnavailable,
		policy.BadAnnotation, policy.NoService, policy.NoReadyEndpoints, policy.NoEndpoints, policy.BadBackend,
		policy.UpstreamTLSUnavailable, policy.BodyTooLarge,
	} {
		if seen[string(reason)] == 0 {
			t.Errorf("no request was answered %s", reason)
		}
	}
	t.Log(seen)
}

func said(e *explain.Explanation) string {
	switch {
	case e.Answer.By == explain.ByEndpoint:
		return "endpoint"
	case e.Answer.Reason == "":
		return "200"
	}
	return string(e.Answer.Reason)
}

// disagree says where an answer is not what was explained, or "".
func disagree(e *explain.Explanation, got answer) string {
	if got.reason == string(policy.RateLimited) && slices.ContainsFunc(e.Phases, isCounted) {
		return ""
	}
	if decidedByChance(e, got) {
		return ""
	}
	if e.Answer.By == explain.ByEndpoint {
		return disagreeOnRequest(e, got)
	}
	want := answer{status: e.Answer.Status, reason: string(e.Answer.Reason), location: e.Answer.Location}
	if got.seen != nil || got.status != want.status || got.reason != want.reason || got.location != want.location {
		return fmt.Sprintf("got  %+v\nwant %+v", got, want)
	}
	return ""
}

// decidedByChance reports whether the canary has answered where explain says that it takes a share, as an endpoint or since TLS to it is
// broken.
func decidedByChance(e *explain.Explanation, got answer) bool {
	share := slices.IndexFunc(e.Phases, func(s explain.Step) bool { return strings.Contains(s.Outcome, " such requests, by ") })
	switch {
	case share < 0:
		return false
	case got.seen == nil:
		return got.reason == string(policy.UpstreamTLSUnavailable)
	}
	return strings.Contains(e.Phases[share].Outcome, "the canary "+got.seen.Backend+" takes")
}

func isCounted(s explain.Step) bool { return strings.Contains(s.Outcome, "within its limits") }

// disagreeOnRequest compares the request that came to an endpoint.
func disagreeOnRequest(e *explain.Explanation, got answer) string {
	if got.seen == nil || got.status != http.StatusOK {
		return fmt.Sprintf("got  %+v\nwant an endpoint's", got)
	}
	want := &received{Backend: e.Backend.Name, TLS: e.Backend.Protocol == string(policy.HTTPS), Target: e.Sent.Target, Host: e.Sent.Host, Header: maps.Clone(e.Sent.Header)}
	tidy(want.Header)
	tidy(got.seen.Header)
	a, b := text(got.seen), text(want)
	if a != b {
		return fmt.Sprintf("got  %s\nwant %s", a, b)
	}
	return ""
}

var id = regexp.MustCompile(`^[0-9a-f]{32}$`)

// tidy takes away what is made anew for each request, and what belongs to a connection and its framing.
func tidy(h map[string][]string) {
	if v := h["X-Request-Id"]; len(v) == 1 && (id.MatchString(v[0]) || strings.HasPrefix(v[0], "(32 hex")) {
		h["X-Request-Id"] = []string{"new"}
	}
	for i, v := range h["Cdn-Loop"] {
		if strings.Contains(v, ";to=") {
			h["Cdn-Loop"][i] = "marked"
		}
	}
	delete(h, "Content-Length")
	delete(h, "Connection")
}

func text(r *received) string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

var local = netip.MustParseAddr("127.0.0.1")
