//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The limits are shorter than the defaults, so that they are met within a window.
const (
	limitFlag   = "3s"
	attackTime  = 6 * time.Second
	quietBefore = 3 * time.Second
)

// attack is many clients that mean harm. Each calls do again and again until it returns an error, or the attack is over.
type attack struct {
	name, bound string
	clients     int
	do          func(ctx context.Context, i int) error
	// once is instead of clients, for attacks that do not come over connections.
	once  func(ctx context.Context, dir string) error
	flags []string // of Usher, besides the limits
}

func attacks() []attack {
	return []attack{
		{name: "Slow heads: a byte every 500 ms", bound: "`--client-header-timeout`: 408, closed", clients: 2000, do: slowHead},
		{name: "Slow bodies: a head, then nothing", bound: "`--client-body-timeout`: 408, closed", clients: 2000, do: slowBody},
		{name: "Slow readers of an answer without end", bound: "`--client-write-timeout`: reset", clients: 500, do: slowReader},
		{name: "Header bombs: 1 MiB of fields, 400/s", bound: "64 KiB a head, 128 fields: 431, closed", clients: 40, do: headerBomb},
		{name: "Connections that say nothing", bound: "`--client-header-timeout`: closed", clients: 10_000, do: silent("80")},
		{name: "Connections to the TLS port that say nothing", bound: "10 s for a handshake: closed", clients: 10_000, do: silent("443")},
		{name: "Connections beyond the limit, 2,000 each of which comes again 10 times a second", bound: "`--max-connections` 1000 here: reset at once", clients: 2000, do: insistent, flags: []string{"--max-connections", "1000"}},
		{name: "HTTP/2 rapid reset: 16 connections, 8,000 streams/s", bound: "128 streams a connection, in flight or just reset", clients: 16, do: rapidReset},
		{name: "HTTP/2 PING flood: 16 connections that never read, 16,000/s", bound: "answers waiting to be written are counted: closed", clients: 16, do: pingFlood},
		{name: "HTTP/2 CONTINUATION without end", bound: "64 KiB a list of fields: closed", clients: 16, do: continuation},
		{name: "One tenant makes 10,000 Ingresses, 30,000 hosts", bound: "nothing but the API server's quota; resolved once, beside the traffic", once: hugeTenant},
	}
}

// measureAttacks lets another process make the table, since this one may use all cores.
func measureAttacks(ctx context.Context, b *bench) (string, error) {
	cmd, err := another("attacks "+b.dir+" "+b.attack, "taskset", "-c", otherCores())
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // its children end with the namespace
	defer stop()
	text, err := cmd.Output()
	return string(text), err
}

func attackTable(ctx context.Context, b *bench) (string, error) {
	beside := nginxVersion(ctx)
	t := table{{"attack", "clients", "bounded by", "connections lasted", "others' p50", "p99 before", "p99 under attack", "times", "failed", "RSS before", "most", "Usher's CPU",
		"nginx: p99 before", "p99 under attack", "times", "failed"}}
	for i, a := range attacks() {
		if !strings.Contains(a.name, b.attack) {
			continue
		}
		row, err := b.suffer(ctx, i, a)
		if err != nil {
			return "", fmt.Errorf("%s: %w", a.name, err)
		}
		nginx := []any{"", "", "", ""}
		if beside == nil && a.once == nil {
			if nginx, err = b.sufferNginx(ctx, i, a); err != nil {
				return "", fmt.Errorf("nginx: %s: %w", a.name, err)
			}
		}
		t.row(append(row, nginx...)...)
	}
	without := ""
	if beside != nil {
		without = fmt.Sprintf(" nginx did not take part (%v).", beside)
	}
	return fmt.Sprintf("The three timeouts are set to %[1]s here, so that they are met; an attacker whose connection is closed comes again at once. `--max-connections` is above what the "+
		"attackers have, but where it is what bounds them. Others: %[2]d requests a second for %[3]s without and %[4]s with the attack, over connections that they keep.\n\n"+
		"What is attacked has core %[5]s to itself (GOMAXPROCS is 1, nginx has one worker). Others and their backends run on core %[6]s, and there too, with the least priority (nice 19), the attackers and "+
		"the backends that they ask for. CPU is of the time of the attack, of one core. \"Lasted\" is the longest that a connection was left open. \"Times\" is the p99 under attack divided by that before. "+
		"nginx has the same timeouts, and room for all connections even where Usher is told to refuse some, see [scale/nginx.conf](scale/nginx.conf); no time of it is like one of the tenant's, whose Ingresses another program would have to write into its "+
		"configuration.%[7]s\n\n%[8]s", limitFlag, othersRate, quietBefore, attackTime, lastCore(), otherCores(), without, t), nil
}

// suffer measures one attack on a process of its own.
func (b *bench) suffer(ctx context.Context, i int, a attack) ([]any, error) {
	s, err := openSite(b)
	if err != nil {
		return nil, err
	}
	defer s.close()
	flags := []string{"--manifests", s.dir, "--client-header-timeout", limitFlag, "--client-body-timeout", limitFlag, "--client-write-timeout", limitFlag,
		"--max-connections", fmt.Sprint(openFiles() - 1000)}
	u, err := startBy(ctx, b.dir, []string{"taskset", "-c", lastCore()}, append(flags, a.flags...)...)
	if err != nil {
		return nil, err
	}
	defer u.stop()
	var rss float64
	var cpu time.Duration
	before, during, lasted, err := b.underAttack(ctx, i, s.dir, func() { rss, cpu = u.memory("VmRSS"), u.cpu() }, func() { cpu = u.cpu() - cpu })
	if err != nil {
		return nil, err
	}
	clients, longest := "", ""
	if a.clients > 0 {
		clients, longest = fmt.Sprint(a.clients), fmt.Sprintf("%.1f s", lasted.Seconds())
	}
	b.log("%s: others p99 %s, then %s; lasted %s", a.name, before.p99(), during.p99(), longest)
	return []any{a.name, clients, a.bound, longest, during.p50(), before.p99(), during.p99(), during.worse(before), during.failed, fmt.Sprintf("%.0f MiB", rss),
		fmt.Sprintf("%.0f MiB", u.memory("VmHWM")), fmt.Sprintf("%.0f %%", 100*cpu.Seconds()/attackTime.Seconds())}, nil
}

// sufferNginx measures the same attack on nginx.
func (b *bench) sufferNginx(ctx context.Context, i int, a attack) ([]any, error) {
	s, err := openSite(b)
	if err != nil {
		return nil, err
	}
	defer s.close()
	p, err := startNginx(ctx, b)
	if err != nil {
		return nil, err
	}
	defer stopNginx(ctx, p)
	before, during, _, err := b.underAttack(ctx, i, s.dir, func() {}, func() {})
	if err != nil {
		return nil, err
	}
	b.log("nginx: %s: others p99 %s, then %s", a.name, before.p99(), during.p99())
	return []any{before.p99(), during.p99(), during.worse(before), during.failed}, nil
}

// underAttack asks for the others' host without and with the attack, which it calls begin and end around.
func (b *bench) underAttack(ctx context.Context, i int, dir string, begin, end func()) (before, during latency, lasted time.Duration, err error) {
	attackers, err := enlist(i, dir)
	if err != nil {
		return before, during, 0, err
	}
	defer func() {
		var failed error
		lasted, failed = attackers.dismiss()
		err = errors.Join(err, failed)
	}()
	before = askOthers(ctx, quietBefore)
	begin()
	if err := attackers.begin(); err != nil {
		return before, during, 0, err
	}
	during = askOthers(ctx, attackTime)
	end()
	return before, during, 0, ctx.Err()
}

// pauseOr waits, and reports whether the attack goes on.
func pauseOr(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// hugeTenant puts ten files with 1,000 Ingresses each into the folder, one every 300 ms, and their Services.
func hugeTenant(ctx context.Context, dir string) error {
	for first := 0; first < 10_000; first += 1000 {
		var objects []any
		for i := first; i < first+1000; i++ {
			objects = append(objects, largeIngress(i), service(serviceName(i)), largeSlice(i, 0))
		}
		if err := writeList(dir, fmt.Sprintf("tenant-%d.json", first), objects); err != nil {
			return err
		}
		if !pauseOr(ctx, 300*time.Millisecond) {
			return ctx.Err()
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "tenant-*.json"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}
