//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// orders counts the orders that the CA was given.
func (p *pebble) orders() int { return strings.Count(p.process.Log(), "Added order ") }

// TestACMEBounds: names that --acme-names does not list, and those beyond a namespace's bound, are not ordered, and it is said why.
func TestACMEBounds(t *testing.T) {
	s := newACMEFolder(t, "mine.bounds.example", "later.bounds.example", "foreign.test")
	p := newPebble(t, pebbleOptions{})
	for _, host := range []string{"mine.bounds.example", "later.bounds.example", "foreign.test"} {
		p.resolve(host, 1)
	}
	u := s.usher(append(p.flags(), "--acme-names", "*.bounds.example", "--acme-names-per-namespace", "1")...)
	u.diagnoses("no certificate of foreign.test is ordered by ACME: --acme-names allows *.bounds.example only",
		"namespace acmebounds has as many names already as --acme-names-per-namespace allows: 1")
	await(t, func() error {
		_, err := u.leaf(p, "mine.bounds.example")
		if err != nil {
			_, err = u.leaf(p, "later.bounds.example")
		}
		return err
	})
	if n := p.orders(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// allowedAttempts is how often a name that always fails may have been tried in a time: after 1, 2, 2, 5 and 10 minutes.
func allowedAttempts(d time.Duration) (n int) {
	for _, at := range []time.Duration{0, 1, 3, 5, 10, 20} {
		if d >= at*time.Minute {
			n++
		}
	}
	return n
}

// TestACMEBackoffOverRestarts: replicas that are killed and started again while the CA cannot reach the host order no more than one that runs on, and
// say when the next attempt is.
func TestACMEBackoffOverRestarts(t *testing.T) {
	s := newACMEFolder(t, "failing.example")
	p := newPebble(t, pebbleOptions{})
	p.resolveTo("failing.example", "192.0.2.250") // nobody is there
	began, each := time.Now(), 0
	for range 6 {
		u := s.start(p.flags()...)
		u.diagnoses("certificate-pending", "the certificate of failing.example is pending; the last attempt failed", "is not made before 20")
		if each == 0 {
			each = p.orders()
		}
		if _, said, _ := s.run("explain", "--admin", strings.TrimPrefix(u.admin, "http://"), "https://failing.example/"); !strings.Contains(said, "is not made before 20") {
			t.Errorf("explain does not say when the next attempt is:\n%s", said)
		}
		u.process.Kill()
	}
	if n, most := p.orders(), each*allowedAttempts(time.Since(began)); each == 0 || n > most {
		t.Errorf("%d orders in %v of restarts, want %d at most: an attempt is %d", n, time.Since(began), most, each)
	}
}

// secretReads counts the requests for a Secret that the API server has answered.
func (s *scene) secretReads() (n int) {
	s.t.Helper()
	text, err := s.client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range secretGets.FindAllSubmatch(text, -1) {
		count, err := strconv.Atoi(string(bytes.TrimSpace(line[1])))
		if err != nil {
			s.t.Fatal(err)
		}
		n += count
	}
	return n
}

var secretGets = regexp.MustCompile(`(?m)^apiserver_request_total\{.*resource="secrets".*verb="GET".*\} (.*)$`)

// TestACMEChallengesOfStrangers: requests for challenges of hosts that nobody orders are not looked for in the API server, and those for a host
// that might be ordered once a second.
func TestACMEChallengesOfStrangers(t *testing.T) {
	s := newACMEScene(t)
	s.asksACME("waiting.example")
	s.route("other", "other.example", "/", "web")
	p := newPebble(t, pebbleOptions{refused: []string{"waiting.example"}})
	u := s.start(p.flags()...) // the CA's refusal looks like one of the API server
	defer func() { _ = u.stop() }()
	u.diagnoses("certificate-pending", "waiting.example", "is not made before")
	ask := func(host string) (reads int, took time.Duration) {
		before, began := s.secretReads(), time.Now()
		var all sync.WaitGroup
		for n := range 300 {
			all.Go(func() {
				r, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/.well-known/acme-challenge/token%d", host, n), nil)
				response, err := u.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
			})
		}
		all.Wait()
		return s.secretReads() - before, time.Since(began)
	}
	for _, host := range []string{"unknown.example", "other.example"} {
		if n, _ := ask(host); n > 2 { // what else a replica may read in that time
			t.Errorf("300 challenges of %s were %d reads of Secrets, want none", host, n)
		}
	}
	if n, took := ask("waiting.example"); n == 0 || n > int(took/time.Second)+4 {
		t.Errorf("300 challenges of a host that is being ordered were %d reads of Secrets in %v, want one a second", n, took)
	}
}
