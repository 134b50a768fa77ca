//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The limits are shorter than the defaults, so that they are met within a window.
const (
	limitFlag   = "3s"
	attackTime  = 6 * time.Second
	quietBefore = 4 * time.Second
)

// attack is many clients that mean harm. Each calls do again and again until it returns an error, or the attack is over.
type attack struct {
	name, bound string
	clients     int
	do          func(ctx context.Context, i int) error
	// once is instead of clients, for attacks that do not come over connections.
	once func(ctx context.Context, s *site) error
}

func attacks() []attack {
	return []attack{
		{name: "Slow heads: a byte every 500 ms", bound: "`--client-header-timeout`: 408, closed", clients: 2000, do: slowHead},
		{name: "Slow bodies: a head, then nothing", bound: "`--client-body-timeout`: 408, closed", clients: 2000, do: slowBody},
		{name: "Slow readers of an answer without end", bound: "`--client-write-timeout`: reset", clients: 500, do: slowReader},
		{name: "Header bombs: 1 MiB of fields, 400/s", bound: "64 KiB a head, 128 fields: 431, closed", clients: 40, do: headerBomb},
		{name: "Connections that say nothing", bound: "`--client-header-timeout`: closed", clients: 10_000, do: silent("80")},
		{name: "Connections to the TLS port that say nothing", bound: "10 s for a handshake: closed", clients: 10_000, do: silent("443")},
		{name: "HTTP/2 rapid reset: 16 connections, 8,000 streams/s", bound: "128 streams a connection, in flight or just reset", clients: 16, do: rapidReset},
		{name: "HTTP/2 PING flood: 16 connections that never read, 16,000/s", bound: "answers waiting to be written are counted: closed", clients: 16, do: pingFlood},
		{name: "HTTP/2 CONTINUATION without end", bound: "64 KiB a list of fields: closed", clients: 16, do: continuation},
		{name: "One tenant makes 10,000 Ingresses, 30,000 hosts", bound: "nothing but the API server's quota; resolved once, beside the traffic", once: hugeTenant},
	}
}

func measureAttacks(ctx context.Context, b *bench) (string, error) {
	t := table{{"attack", "clients", "bounded by", "connections lasted", "others' p50", "p99 before", "p99 under attack", "failed", "RSS before", "most", "Usher's CPU"}}
	for _, a := range attacks() {
		if err := b.suffer(ctx, a, &t); err != nil {
			return "", fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return fmt.Sprintf("The three timeouts are set to %s here, so that they are met; an attacker whose connection is closed comes again at once. Others: %d requests a second for %s "+
		"without and %s with the attack. CPU is of the time of the attack, of one core; attackers, others and backend share both cores with Usher. "+
		"\"Lasted\" is the longest that a connection was left open.\n\n%s", limitFlag, othersRate, quietBefore, attackTime, t), nil
}

// suffer measures one attack on a process of its own.
func (b *bench) suffer(ctx context.Context, a attack, t *table) error {
	s, err := openSite(b)
	if err != nil {
		return err
	}
	defer s.close()
	u, err := s.usher(ctx, b, "--client-header-timeout", limitFlag, "--client-body-timeout", limitFlag, "--client-write-timeout", limitFlag)
	if err != nil {
		return err
	}
	defer u.stop()
	before := askOthers(ctx, quietBefore)
	rss, cpu := u.memory("VmRSS"), u.cpu()
	lasted, end := begin(ctx, a, s)
	during := askOthers(ctx, attackTime)
	cpu = u.cpu() - cpu
	if err := end(); err != nil {
		return err
	}
	clients, longest := "", ""
	if a.clients > 0 {
		clients, longest = fmt.Sprint(a.clients), fmt.Sprintf("%.1f s", lasted().Seconds())
	}
	t.row(a.name, clients, a.bound, longest, during.p50(), before.p99(), during.p99(), during.failed, fmt.Sprintf("%.0f MiB", rss),
		fmt.Sprintf("%.0f MiB", u.memory("VmHWM")), fmt.Sprintf("%.0f %%", 100*cpu.Seconds()/attackTime.Seconds()))
	b.log("%s: others p99 %s, then %s; lasted %s", a.name, before.p99(), during.p99(), longest)
	return nil
}

// begin starts an attack. lasted is the longest that one connection was left open, those included that are open at the end.
func begin(ctx context.Context, a attack, s *site) (lasted func() time.Duration, end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var longest time.Duration
	var failed error
	for i := range a.clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				_ = a.do(ctx, i) // it ends by being cut off, one way or the other
				mu.Lock()
				longest = max(longest, time.Since(start))
				mu.Unlock()
				pauseOr(ctx, 50*time.Millisecond)
			}
		})
	}
	if a.once != nil {
		wg.Go(func() { failed = a.once(ctx, s) })
	}
	return func() time.Duration { mu.Lock(); defer mu.Unlock(); return longest }, func() error {
		cancel()
		wg.Wait()
		if errors.Is(failed, context.Canceled) {
			failed = nil
		}
		return failed
	}
}

// pauseOr waits, and tells whether the attack goes on.
func pauseOr(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// hugeTenant puts ten files with 1,000 Ingresses each into the folder, one every 300 ms, and their Services.
func hugeTenant(ctx context.Context, s *site) error {
	for first := 0; first < 10_000; first += 1000 {
		var objects []any
		for i := first; i < first+1000; i++ {
			objects = append(objects, largeIngress(i), service(serviceName(i)), largeSlice(i, 0))
		}
		if err := writeList(s.dir, fmt.Sprintf("tenant-%d.json", first), objects); err != nil {
			return err
		}
		if !pauseOr(ctx, 300*time.Millisecond) {
			return ctx.Err()
		}
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "tenant-*.json"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}
