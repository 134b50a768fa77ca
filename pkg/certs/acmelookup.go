package certs

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Anybody can ask for challenges, and each that this process has not ordered itself is looked for in the storage, since another
// replica may have. So the storage is read at most once a lookupEvery for each host, whatever tokens are asked for: who asks sooner
// waits for the next read and shares it. An answer is thus never older than the question, and nobody can keep the CA from getting the
// right one by asking before it. All hosts together share a rate, and what would wait longer than lookupWait is not looked for.
const (
	lookupEvery = time.Second
	lookupWait  = 5 * time.Second
	lookupRead  = 5 * time.Second

	// pendingRate is for hosts that have no certificate or one that is about to be renewed, settledRate for the rest: another replica
	// renews these too when their CA says so, but seldom.
	pendingRate, pendingBurst = 10, 20
	settledRate, settledBurst = 1, 4
)

// lookups find the challenges that other replicas have stored.
type lookups struct {
	storage          certmagic.Storage
	folders          []string // of the CAs
	log              *zap.Logger
	pending, settled *rate.Limiter

	mu    sync.Mutex
	hosts map[string]*lookup
}

// lookup is about one host.
type lookup struct {
	last time.Time // when the storage was last read
	next *found    // what the next read gives; nil if nobody has asked
}

// found is what a read gives, once done is closed.
type found struct {
	done      chan struct{}
	challenge acme.Challenge
	ok        bool
}

func newLookups(o ACMEOptions, issuers []*certmagic.ACMEIssuer) *lookups {
	l := &lookups{
		storage: o.Storage, log: o.Log, hosts: map[string]*lookup{},
		pending: rate.NewLimiter(pendingRate, pendingBurst), settled: rate.NewLimiter(settledRate, settledBurst),
	}
	for _, issuer := range issuers {
		l.folders = append(l.folders, path.Join("acme", certmagic.StorageKeys.Safe(issuer.IssuerKey()), "challenge_tokens"))
	}
	return l
}

// find gives the challenge of a host that this process or another replica has under way.
func (l *lookups) find(ctx context.Context, host string, limit *rate.Limiter) (acme.Challenge, bool) {
	if own, ok := certmagic.GetACMEChallenge(host); ok {
		return own.Challenge, true
	}
	f := l.ask(host, limit)
	if f == nil {
		return acme.Challenge{}, false
	}
	select {
	case <-f.done:
		return f.challenge, f.ok
	case <-ctx.Done():
		return acme.Challenge{}, false
	}
}

// ask has the storage read, or joins those who wait for that; nil if it would take too long.
func (l *lookups) ask(host string, limit *rate.Limiter) *found {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[host]
	if h == nil {
		h = &lookup{}
	}
	if h.next != nil {
		return h.next
	}
	turn := limit.Reserve()
	if turn.Delay() > lookupWait {
		turn.Cancel()
		return nil
	}
	f := &found{done: make(chan struct{})}
	h.next, l.hosts[host] = f, h
	time.AfterFunc(max(turn.Delay(), time.Until(h.last.Add(lookupEvery))), func() { l.read(host, h) })
	return f
}

func (l *lookups) read(host string, h *lookup) {
	l.mu.Lock()
	f := h.next
	h.next, h.last = nil, time.Now() // who asks from now on waits for another read
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lookupRead)
	defer cancel()
	f.challenge, f.ok = l.load(ctx, host)
	close(f.done)
	time.AfterFunc(lookupEvery, func() { l.forget(host, h) })
}

func (l *lookups) forget(host string, h *lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.next == nil && time.Since(h.last) >= lookupEvery && l.hosts[host] == h {
		delete(l.hosts, host)
	}
}

// load reads what certmagic has stored for a host.
func (l *lookups) load(ctx context.Context, host string) (c acme.Challenge, ok bool) {
	for _, folder := range l.folders {
		text, err := l.storage.Load(ctx, path.Join(folder, certmagic.StorageKeys.Safe(host)+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err == nil {
			return c, true
		}
		l.log.Warn("a challenge of ACME cannot be read", zap.String("host", host), zap.Error(err))
	}
	return acme.Challenge{}, false
}
