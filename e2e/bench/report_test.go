package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

func TestSpread(t *testing.T) {
	if got, want := spreadOf([]float64{3, 1, 2}), (spread{2, 1, 3}); got != want {
		t.Errorf("odd: got %v, want %v", got, want)
	}
	if got, want := spreadOf([]float64{4, 1, 2, 3}), (spread{2.5, 1, 4}); got != want {
		t.Errorf("even: got %v, want %v", got, want)
	}
	if got := spreadOf(nil); got != (spread{}) {
		t.Errorf("none: got %v", got)
	}
}

func TestQuantile(t *testing.T) {
	var hundred []int
	for i := range 100 {
		hundred = append(hundred, i+1)
	}
	for q, want := range map[float64]int{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(hundred, q); got != want {
			t.Errorf("%v: got %d, want %d", q, got, want)
		}
	}
}

// A disturbed round is slow for both: the ratio of that round is not.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	got := spreadOf(ratios([]float64{26, 37, 27}, []float64{29, 41, 30}))
	if show(got, 2) != "0.90 (0.90-0.90)" {
		t.Errorf("got %s", show(got, 2))
	}
}

func TestMarkdown(t *testing.T) {
	turn := func(user, system time.Duration) sample {
		return sample{load: load{Done: 1000, Elapsed: time.Second}, used: usage{User: user, System: system, RSS: 8 << 20}}
	}
	r := report{
		Command: []string{"e2e/bench/run"}, Field: []contender{{Name: "nginx"}, {Name: "usher"}, {Name: "haproxy"}},
		Results: []result{{
			scenario: scenario{name: "plain", title: "Plain", unit: "request"}, names: []string{"nginx", "usher", "haproxy"},
			samples: map[string][]sample{
				"nginx": {turn(10*time.Millisecond, 20*time.Millisecond), turn(11*time.Millisecond, 19*time.Millisecond)},
				"usher": {turn(6*time.Millisecond, 21*time.Millisecond), turn(7*time.Millisecond, 17*time.Millisecond)},
			},
			headers: map[string][]string{"nginx": {"X-Real-Ip"}, "usher": {"X-Real-Ip", "X-Extra"}},
			errs:    map[string]error{"haproxy": errors.New("a | b\nmore")},
		}},
	}
	got := r.markdown()
	for _, want := range []string{
		"| Plain | 0.85 (0.80-0.90) | - |",
		"| usher | 25.5 (24.0-27.0) | 6.5 | 19.0 | 0.85 (0.80-0.90) | 1000 | 8 | 0 |",
		"| haproxy | failed: a / b |",
		"- usher: +X-Extra",
		"| Plain | at most 0.95 of nginx | 0.85 (0.80-0.90) | met |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// A complete run has what was written by hand; a partial one may be about something else.
func TestNotes(t *testing.T) {
	full, err := parseFlags(nil)
	if err != nil {
		t.Fatal(err)
	}
	field := []contender{{Name: "nginx"}}
	if got := (report{Field: field, Options: full}).markdown(); !strings.Contains(got, notes) || len(notes) < 100 {
		t.Errorf("no notes in\n%s", got)
	}
	if got := (report{Field: field}).markdown(); strings.Contains(got, notes) {
		t.Error("notes in a partial run")
	}
}

func TestGoals(t *testing.T) {
	names := scenarioNames()
	for _, g := range goals() {
		if !slices.Contains(names, g.scenario) || g.than != "" && !slices.Contains(proxyNames(), g.than) {
			t.Errorf("%+v is about nothing that is measured", g)
		}
	}
	idle := result{scenario: scenario{figure: memory}, samples: map[string][]sample{"usher": {{load: load{Done: 2}, memory: 13 << 10}}}}
	if g := (goal{most: 6}); g.String() != "at most 6 KiB" || g.verdict(idle.reached(g)) != "missed" {
		t.Errorf("%s: %v %s", g, idle.reached(g), g.verdict(idle.reached(g)))
	}
	failed := result{errs: map[string]error{"nginx": errors.New("gone")}}
	if found := failed.reached(goal{than: "nginx"}); found != nil {
		t.Errorf("compared with what failed: %v", found)
	}
}

func TestPartialRunsKeepTheResults(t *testing.T) {
	full, err := parseFlags(nil)
	if err != nil || !full.complete() {
		t.Errorf("no flags: complete %v, %v", full.complete(), err)
	}
	for _, args := range [][]string{{"-scenarios", "plain"}, {"-proxies", "nginx"}, {"-rounds", "1"}, {"-duration", "1s"}, {"-hosts", "0"}} {
		if opt, err := parseFlags(args); err != nil || opt.complete() {
			t.Errorf("%v: complete %v, %v", args, opt.complete(), err)
		}
	}
	if _, err := parseFlags([]string{"-rounds", "0"}); err == nil {
		t.Error("-rounds 0: no error")
	}
}

func TestChoose(t *testing.T) {
	chosen, err := chooseScenarios("tls,plain")
	if err != nil || len(chosen) != 2 || chosen[0].name != "plain" {
		t.Errorf("got %v, %v", chosen, err)
	}
	if _, err := chooseScenarios("plane"); err == nil || !strings.Contains(err.Error(), `"plane"`) {
		t.Errorf("unknown scenario: %v", err)
	}
}

// Every template renders, and the manifests are YAML with the parts that Usher needs.
func TestConfigurations(t *testing.T) {
	s := &site{Dir: t.TempDir(), Small: "127.0.0.1:9000", Go: "127.0.0.1:9001", Hosts: 2}
	if err := s.writeCertificates(); err != nil {
		t.Fatal(err)
	}
	set := setting{site: s, Work: s.Dir, PlainHost: plainHost, SecureHost: secureHost, GoPrefix: goPrefix, AccessLog: true, SmallPort: 9000}
	for _, p := range proxies() {
		if _, err := p.setup(contender{proxy: p, Name: p.name, Path: "/bin/" + p.name}, set); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	var kinds []string
	for _, name := range []string{"bench.yaml", "secret.yaml", "others.yaml"} {
		text, err := readText(filepath.Join(s.Dir, "manifests", name))
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(text, "---\n") {
			var object struct{ Kind string }
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			kinds = append(kinds, object.Kind)
		}
	}
	for _, kind := range []string{"Ingress", "IngressClass", "Service", "EndpointSlice", "Secret"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}
}

// The bench's own loads work against the bench's own backend.
func TestOwnLoads(t *testing.T) {
	backend, err := startGoBackend()
	if err != nil {
		t.Fatal(err)
	}
	defer backend.close()
	to := &target{HTTP: backend.addr, contender: contender{Name: "backend"}}
	ctx, turn := context.Background(), 50*time.Millisecond
	if l, err := runEcho(ctx, to, turn); err != nil || l.Failed != 0 || l.Done == 0 {
		t.Errorf("echo: %+v, %v", l, err)
	}
	if _, err := runPaced(ctx, to, 100, turn); err == nil {
		t.Error("paced load of a path that answers 404: no error")
	}
	var names []string
	if err := to.get(ctx, "http://"+backend.addr+headersPath, &names); err != nil || len(names) == 0 {
		t.Errorf("headers: %v, %v", names, err)
	}
}

func TestChildEndsAndIsStopped(t *testing.T) {
	if findBinary("taskset") == "" {
		t.Skip("no taskset")
	}
	c, err := startChild("sleep", t.TempDir(), 0, command{args: []string{"sleep", "60"}})
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	c.stop()
	select {
	case <-c.done:
	default:
		t.Error("still there")
	}
	broken, err := startChild("false", t.TempDir(), 0, command{args: []string{"sh", "-c", "echo why >&2; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	err = broken.await(context.Background(), 5*time.Second, func(context.Context) error { return io.ErrUnexpectedEOF })
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("await of a child that ended: %v", err)
	}
}
