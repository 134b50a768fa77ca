//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// measurement is one section of the report.
type measurement struct {
	name, title string
	cluster     bool // needs the API server
	run         func(context.Context, *bench) (text string, err error)
}

func measurements() []measurement {
	return []measurement{
		{"files", "Start from a folder", false, measureFiles},
		{"api", "Start from the API server, and changes", true, measureCluster},
		{"idle", "Idle connections", false, measureIdle},
		{"storm", "Reconnect storm", false, measureStorm},
		{"attacks", "Attacks", false, measureAttacks},
	}
}

// bench is what the measurements share.
type bench struct {
	dir     string // removed at the end
	sizes   []int  // numbers of Ingresses
	profile string // folder for CPU profiles of changes; "" for none
	attack  string // part of the names of the attacks that are wanted; "" is all
}

func (b *bench) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "scale: "+format+"\n", args...)
}

// program is cluster's Tests: what runs inside the namespace.
type program struct {
	chosen  []measurement
	out     string
	profile string
	attack  string
	sizes   []int
	further string // flags that a reader has to give too, to measure the same
}

func main() {
	if status, played := play(context.Background()); played {
		os.Exit(status)
	}
	p, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	raiseFiles()
	enter := cluster.Inside
	if slices.ContainsFunc(p.chosen, func(m measurement) bool { return m.cluster }) {
		enter = cluster.Main
	}
	enter(p, buildUsher)
}

func parse(args []string) (*program, error) {
	p := &program{}
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	only := flags.String("only", "", "comma-separated: files, api, idle, storm, attacks (default all)")
	sizes := flags.String("sizes", "1000,10000,20000", "numbers of Ingresses for files and api")
	flags.StringVar(&p.out, "out", "e2e/bench/SCALE.md", "Markdown file whose sections are written anew")
	flags.StringVar(&p.profile, "profile", "", "folder for CPU profiles of Usher while objects change")
	flags.StringVar(&p.attack, "attack", "", "of the attacks only those with this in their names")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for _, text := range strings.Split(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n < 1 || n > 100_000 {
			return nil, fmt.Errorf("-sizes %q: want numbers from 1 to 100000", *sizes)
		}
		p.sizes = append(p.sizes, n)
	}
	if *sizes != flags.Lookup("sizes").DefValue {
		p.further = " -sizes " + *sizes
	}
	if p.attack != "" {
		p.further += fmt.Sprintf(" -attack %q", p.attack)
	}
	for _, m := range measurements() {
		if *only == "" || slices.Contains(strings.Split(*only, ","), m.name) {
			p.chosen = append(p.chosen, m)
		}
	}
	if len(p.chosen) == 0 {
		return nil, fmt.Errorf("-only %q: there is no such measurement", *only)
	}
	return p, nil
}

// raiseFiles lifts the limit of open files, for this program and what it starts.
func raiseFiles() {
	limit := syscall.Rlimit{Cur: 1 << 19, Max: 1 << 19}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) != nil && syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // what then fails says so
	}
}

func buildUsher() error {
	if os.Getenv(binaryVariable) != "" {
		return nil
	}
	binary, err := filepath.Abs("bin/usher-scale")
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/usher")
	build.Stdout, build.Stderr, build.Env = os.Stderr, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return fmt.Errorf("building usher: %w", err)
	}
	return os.Setenv(binaryVariable, binary)
}

// Run measures, and returns the exit status.
func (p *program) Run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.measure(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		return 1
	}
	return 0
}

func (p *program) measure(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "usher-scale-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{dir: dir, sizes: p.sizes, profile: p.profile, attack: p.attack}
	var failed error
	for _, m := range p.chosen {
		text, err := m.run(ctx, b)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		failed = errors.Join(failed, p.publish(m, text))
	}
	return failed
}
