package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags, and what follows from them.
type options struct {
	scenarios, proxies string
	rounds             int
	duration           time.Duration
	out, profile       string
	usher, before      string
	proxyCPU, loadCPU  int
	hosts, idle        int
}

// resultsFile is where a complete run goes.
const resultsFile = "e2e/bench/RESULTS.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	opt, err := parseFlags(args)
	if err != nil {
		return err
	}
	if err := pin(opt.loadCPU); err != nil {
		return err
	}
	chosen, err := chooseScenarios(opt.scenarios)
	if err != nil {
		return err
	}
	if err := install(ctx); err != nil {
		return err
	}
	site, err := openSite(ctx, opt)
	if err != nil {
		return err
	}
	defer site.close()
	field, err := chooseProxies(ctx, site, opt.proxies)
	if err != nil {
		return err
	}
	b := &bench{options: opt, site: site, field: field, progress: os.Stderr}
	results, err := b.runAll(ctx, chosen)
	if err != nil {
		return err
	}
	r := report{Command: append([]string{"e2e/bench/run"}, args...), Options: opt, Field: field, Results: results, Host: describeHost()}
	return errors.Join(publish(opt, r, stdout), r.failure())
}

func parseFlags(args []string) (options, error) {
	var opt options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&opt.scenarios, "scenarios", "", "comma-separated scenarios (default all): "+strings.Join(scenarioNames(), ","))
	flags.StringVar(&opt.proxies, "proxies", "", "comma-separated proxies (default all that are found): "+strings.Join(proxyNames(), ","))
	flags.IntVar(&opt.rounds, "rounds", 5, "how often each proxy has its turn in each scenario")
	flags.DurationVar(&opt.duration, "duration", 3*time.Second, "length of one turn")
	flags.StringVar(&opt.out, "out", "", "file for the Markdown; a complete run writes "+resultsFile+" unless this says otherwise")
	flags.StringVar(&opt.profile, "profile", "", "folder for a CPU profile of Usher in each scenario, taken in one extra turn")
	flags.StringVar(&opt.usher, "usher", "", "an usher binary (default: built from ./cmd/usher)")
	flags.StringVar(&opt.before, "before", "", "another usher binary, to compare a change with what was before it")
	flags.IntVar(&opt.proxyCPU, "proxy-cpu", 1, "core of the proxy that is measured")
	flags.IntVar(&opt.loadCPU, "load-cpu", 0, "core of everything else")
	flags.IntVar(&opt.hosts, "hosts", 10000, "other hosts in Usher's table")
	flags.IntVar(&opt.idle, "idle", 10000, "connections of the idle scenarios")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	if flags.NArg() > 0 {
		return opt, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if opt.rounds < 1 || opt.rounds > 100 || opt.duration < 100*time.Millisecond || opt.duration > time.Minute {
		return opt, fmt.Errorf("-rounds %d -duration %s: want 1 to 100 rounds of 100ms to 1m", opt.rounds, opt.duration)
	}
	return opt, nil
}

// complete reports whether a run is fit to replace RESULTS.md: every scenario and proxy, in full length.
func (o options) complete() bool {
	return o.scenarios == "" && o.proxies == "" && o.rounds >= 5 && o.duration >= 3*time.Second && o.hosts >= 10000 && o.idle >= 10000
}

func publish(opt options, r report, stdout io.Writer) error {
	text := r.markdown()
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	out := opt.out
	if out == "" && opt.complete() && slices.ContainsFunc(r.Field, func(c contender) bool { return c.Name == "usher" }) {
		out = resultsFile
	}
	if out == "" {
		fmt.Fprintln(os.Stderr, "bench: a partial run; nothing written (-out FILE writes it)")
		return nil
	}
	return os.WriteFile(out, []byte(text), 0o644)
}
