package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// bench runs scenarios over the field of contenders.
type bench struct {
	options
	site     *site
	field    []contender
	progress io.Writer
	rate     float64 // requests per second of the latency scenario
}

// sample is one turn of one contender.
type sample struct {
	load
	used   usage // CPU time of the turn, and memory at its end
	memory int64 // growth of memory over the turn, bytes
}

// result is what a scenario gave: for each contender its samples, one per round.
type result struct {
	scenario
	names   []string
	samples map[string][]sample
	headers map[string][]string // names of the request fields a backend saw
	errs    map[string]error    // contenders that could not finish the scenario
	loadAvg string              // of the machine, at the end of the scenario
	rate    float64
}

// runAll runs one scenario after the other. A contender that fails one does not stop the others; all failing does.
func (b *bench) runAll(ctx context.Context, chosen []scenario) ([]result, error) {
	var results []result
	for i, s := range chosen {
		fmt.Fprintf(b.progress, "bench: [%d/%d] %s\n", i+1, len(chosen), s.title)
		r := result{scenario: s, samples: map[string][]sample{}, headers: map[string][]string{}, errs: map[string]error{}}
		err := b.runScenario(ctx, &r)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		r.loadAvg, r.rate = loadAverage(), b.rate
		results = append(results, r)
	}
	return results, nil
}

// runScenario starts the contenders, lets each warm up, and then gives each its turn in each round.
func (b *bench) runScenario(ctx context.Context, r *result) error {
	var targets []*target
	defer func() {
		for _, t := range targets {
			t.stop()
		}
	}()
	for _, c := range b.field {
		if r.accessLog && !c.log {
			continue
		}
		r.names = append(r.names, c.Name)
		t, err := b.start(ctx, c, r.scenario)
		if err == nil {
			targets = append(targets, t)
			err = b.check(ctx, r, t)
		}
		if err != nil {
			b.fail(r, c.Name, err)
		}
	}
	if len(r.errs) == len(r.names) {
		return errors.New("no proxy could be started")
	}
	if r.direct {
		direct := b.direct()
		r.names, targets = append(r.names, direct.Name), append(targets, direct)
	}
	if r.prepare != nil {
		if err := r.prepare(ctx, b, targets); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		for i, t := range targets {
			if r.errs[t.Name] != nil || ctx.Err() != nil {
				continue
			}
			if r.fresh && round > 0 {
				t.stop()
				fresh, err := b.start(ctx, t.contender, r.scenario)
				if err != nil {
					b.fail(r, t.Name, err)
					continue
				}
				t, targets[i] = fresh, fresh
			}
			b.turn(ctx, r, t, round)
		}
	}
	return b.profileAll(ctx, r, targets)
}

// check asks what a backend sees, that the access log is as it should be, and warms the target up.
func (b *bench) check(ctx context.Context, r *result, t *target) error {
	names, err := t.addedHeaders(ctx)
	if err != nil {
		return fmt.Errorf("header check: %w", err)
	}
	r.headers[t.Name] = names
	if !r.fresh {
		if _, err := plain(ctx, &bench{options: options{duration: time.Second}}, t); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if r.accessLog && !t.logged() {
		return errors.New("writes no access log")
	}
	return nil
}

func (b *bench) fail(r *result, name string, err error) {
	fmt.Fprintf(b.progress, "bench: %s: %s: %v\n", r.name, name, err)
	r.errs[name] = err
}

// turn measures one contender once.
func (b *bench) turn(ctx context.Context, r *result, t *target, round int) {
	s, err := b.measure(ctx, r.scenario, t)
	if err != nil {
		b.fail(r, t.Name, err)
		return
	}
	t.process.emptyLogs()
	r.samples[t.Name] = append(r.samples[t.Name], s)
	fmt.Fprintf(b.progress, "bench: %s round %d: %-12s %s\n", r.name, round+1, t.Name, oneLine(r.scenario, s))
}

func (b *bench) measure(ctx context.Context, s scenario, t *target) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	before, err := usageOf(t.process.pid())
	if err != nil {
		return sample{}, err
	}
	l, err := s.run(ctx, b, t)
	if err != nil {
		return sample{}, err
	}
	if l.Release != nil {
		defer l.Release()
	}
	after, err := usageOf(t.process.pid())
	if err != nil {
		return sample{}, err
	}
	if l.Done == 0 {
		return sample{}, fmt.Errorf("nothing was answered, %d failed", l.Failed)
	}
	used := after.minus(before)
	growth := used.RSS
	used.RSS = after.RSS
	return sample{load: l, used: used, memory: growth}, nil
}

// loadAverage of the machine over the last minute: near 2 on two cores when nothing else runs.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
