package certs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/usher-ingress/usher/pkg/route"
)

// countedStorage counts reads.
type countedStorage struct {
	certmagic.Storage
	reads atomic.Int64
}

func (s *countedStorage) Load(ctx context.Context, key string) ([]byte, error) {
	s.reads.Add(1)
	return s.Storage.Load(ctx, key)
}

// newAsked is an Issuer that knows hosts and whose reads of the storage are counted.
func newAsked(t *testing.T, hosts ...string) (*Issuer, *countedStorage) {
	t.Helper()
	i := newTestIssuer(t, &route.Table{})
	counted := &countedStorage{Storage: i.options.Storage}
	i.lookups.storage = counted
	known := map[string]bool{}
	for _, host := range hosts {
		known[host] = true
	}
	i.known.Store(&known)
	return i, counted
}

// asks gives the status of a request for a challenge; 404 is the routes'.
func (i *Issuer) asks(method, host, token string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	i.Answer(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(method, "http://"+host+challengePath+token, nil))
	return w
}

// presents stores a challenge as another replica does.
func (i *Issuer) presents(t *testing.T, c acme.Challenge) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.options.Storage.Store(t.Context(), i.lookups.folders[0]+"/"+c.Identifier.Value+".json", text); err != nil {
		t.Fatal(err)
	}
}

func challengeOf(host string) acme.Challenge {
	return acme.Challenge{Type: acme.ChallengeTypeHTTP01, Token: "token-of-the-CA", KeyAuthorization: "token-of-the-CA.key",
		Identifier: acme.Identifier{Type: "dns", Value: host}}
}

// TestChallengesReadOncePerHost: a thousand requests at once, for tokens that do not exist, are two reads at most: the first one's, and
// that of all who came later.
func TestChallengesReadOncePerHost(t *testing.T) {
	i, storage := newAsked(t, "new.example")
	synctest.Test(t, func(t *testing.T) {
		var all sync.WaitGroup
		for n := range 1000 {
			all.Go(func() {
				if w := i.asks(http.MethodGet, "New.example.:80", fmt.Sprint("x", n)); w.Code != http.StatusNotFound {
					t.Errorf("status %d, want 404", w.Code)
				}
			})
		}
		all.Wait()
		if n := storage.reads.Load(); n < 1 || n > 2 {
			t.Errorf("%d reads, want 1 or 2", n)
		}
		time.Sleep(2 * lookupEvery)
		synctest.Wait()
		if len(i.lookups.hosts) != 0 {
			t.Errorf("%d hosts are kept", len(i.lookups.hosts))
		}
	})
}

// TestChallengesAreNotHidden: who asks before the CA does not make its answer an old one.
func TestChallengesAreNotHidden(t *testing.T) {
	i, storage := newAsked(t, "new.example")
	synctest.Test(t, func(t *testing.T) {
		i.asks(http.MethodGet, "new.example", "x")
		c := challengeOf("new.example")
		i.presents(t, c)
		if w := i.asks(http.MethodGet, "new.example", c.Token); w.Code != http.StatusOK || w.Body.String() != c.KeyAuthorization {
			t.Errorf("the CA gets %d %q, want %q", w.Code, w.Body, c.KeyAuthorization)
		}
		if n := storage.reads.Load(); n != 2 {
			t.Errorf("%d reads, want 2", n)
		}
		if w := i.asks(http.MethodGet, "new.example", "x"); w.Code != http.StatusNotFound {
			t.Errorf("another token gets %d, want 404", w.Code)
		}
	})
}

// TestChallengesByHandshake: handshakes are bounded as requests are.
func TestChallengesByHandshake(t *testing.T) {
	i, storage := newAsked(t, "new.example")
	synctest.Test(t, func(t *testing.T) {
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if c, err := i.challengeCertificate(t.Context(), "new.example"); err == nil {
					t.Errorf("no challenge is under way, and the handshake gets %v", c)
				}
			})
		}
		all.Wait()
		if n := storage.reads.Load(); n < 1 || n > 2 {
			t.Errorf("%d reads, want 1 or 2", n)
		}
		c := challengeOf("new.example")
		i.presents(t, c)
		if got, err := i.challengeCertificate(t.Context(), "new.example"); err != nil || len(got.Certificate) != 1 {
			t.Errorf("the CA gets %v, %v", got, err)
		}
	})
}

// TestChallengesOfAllHostsShareARate: hosts whose certificate is good for long have one of their own, so that they cannot keep others'
// orders waiting; what would wait too long goes to the routes at once.
func TestChallengesOfAllHostsShareARate(t *testing.T) {
	var hosts []string
	for n := range 200 {
		hosts = append(hosts, fmt.Sprintf("h%d.example", n))
	}
	i, storage := newAsked(t, append(hosts, "new.example")...)
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		settled := &issued{certificates: map[string]*route.Certificate{}}
		for _, host := range hosts {
			settled.certificates[host] = &route.Certificate{NotFrom: now, Until: now.Add(90 * 24 * time.Hour)}
		}
		i.issued.Store(settled)
		ask := func() (reads int64) {
			before := storage.reads.Load()
			var all sync.WaitGroup
			for _, host := range hosts {
				all.Go(func() { i.asks(http.MethodGet, host, "x") })
			}
			all.Wait()
			return storage.reads.Load() - before
		}
		if n, most := ask(), int64(settledBurst+settledRate*lookupWait.Seconds()); n > most {
			t.Errorf("%d reads for hosts with certificates, want at most %d", n, most)
		}
		i.presents(t, challengeOf("new.example"))
		began := time.Now()
		if w := i.asks(http.MethodGet, "new.example", "token-of-the-CA"); w.Code != http.StatusOK || time.Since(began) > 0 {
			t.Errorf("an order beside them gets %d after %v", w.Code, time.Since(began))
		}
		i.issued.Store(&issued{})
		if n, most := ask(), int64(pendingBurst+pendingRate*lookupWait.Seconds()); n > most {
			t.Errorf("%d reads for hosts without certificates, want at most %d", n, most)
		}
	})
}

// TestChallengesThatCannotBe are handed on without a read.
func TestChallengesThatCannotBe(t *testing.T) {
	i, storage := newAsked(t, "new.example", "*.new.example")
	for _, r := range [][3]string{
		{"GET", "other.example", "x"}, {"POST", "new.example", "x"}, {"GET", "new.example", ""}, {"GET", "new.example", "a/b"},
		{"GET", "new.example", "a.b"}, {"GET", "new.example", strings.Repeat("x", mostToken+1)}, {"GET", "*.new.example", "x"},
	} {
		if w := i.asks(r[0], r[1], r[2]); w.Code != http.StatusNotFound {
			t.Errorf("%v: status %d, want 404", r, w.Code)
		}
	}
	if n := storage.reads.Load(); n != 0 {
		t.Errorf("%d reads, want none", n)
	}
}

func TestNearRenewal(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]bool{-time.Hour: true, 29 * time.Hour: true, 35 * time.Hour: true, 37 * time.Hour: false, 90 * time.Hour: false} {
		c := &route.Certificate{NotFrom: now.Add(left - 90*time.Hour), Until: now.Add(left)}
		if nearRenewal(c, now) != want {
			t.Errorf("%v left of 90h: %v, want %v", left, !want, want)
		}
	}
}
