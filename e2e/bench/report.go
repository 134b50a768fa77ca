package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// report is a run, ready to be written as Markdown.
type report struct {
	Command []string
	Options options
	Field   []contender
	Results []result
	Host    host
}

// host is the machine and the moment.
type host struct{ Date, Kernel, CPU, Tools string }

func describeHost() host {
	h := host{Date: time.Now().UTC().Format("2006-01-02 15:04 UTC")}
	var name syscall.Utsname
	if syscall.Uname(&name) == nil {
		for _, c := range name.Release {
			if c != 0 {
				h.Kernel += string(rune(c))
			}
		}
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	h.CPU = statusField(string(cpuinfo), "model name")
	var tools []string
	for _, args := range [][]string{{"wrk", "-v"}, {"h2load", "--version"}} {
		out, _ := exec.Command(args[0], args[1:]...).CombinedOutput() // wrk exits with 1 here
		line, _, _ := strings.Cut(string(out), "\n")
		tools = append(tools, strings.TrimSpace(strings.TrimSuffix(line, " Copyright (C) 2012 Will Glozer")))
	}
	h.Tools = strings.Join(tools, ", ")
	return h
}

func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Usher beside its peers\n\nMade by `%s` on %s; how it measures stands in [doc.go](doc.go).\n\n", strings.Join(r.Command, " "), r.Host.Date)
	fmt.Fprintf(&b, "Kernel %s, %s; the proxy alone on core %d, load and backends on core %d; %d rounds of %s.\nLoad: %s.\n\n", r.Host.Kernel, r.Host.CPU,
		r.Options.proxyCPU, r.Options.loadCPU, r.Options.rounds, r.Options.duration, r.Host.Tools)
	fmt.Fprintf(&b, "| proxy | version |\n|---|---|\n")
	for _, c := range r.Field {
		fmt.Fprintf(&b, "| %s | %s |\n", c.Name, strings.ReplaceAll(c.Version, "|", "/"))
	}
	fmt.Fprintf(&b, "\nFigures are medians of the rounds with their range. A ratio is to %s in the same round; below 1 is better. "+
		"`load` is the load average of the whole machine at the end of a scenario.\n", r.Field[0].Name)
	r.writeSummary(&b)
	r.writeGoals(&b)
	if r.Options.complete() {
		b.WriteString("\n" + notes)
	}
	for _, result := range r.Results {
		result.write(&b)
	}
	r.writeHeaders(&b)
	return b.String()
}

// failure is every scenario that a proxy could not finish, and every one in which Usher left requests unanswered.
func (r report) failure() error {
	var all []error
	for _, result := range r.Results {
		for name, err := range result.errs {
			all = append(all, fmt.Errorf("%s: %s: %w", result.name, name, err))
		}
		for _, s := range result.samples["usher"] {
			if s.Failed > 0 {
				all = append(all, fmt.Errorf("%s: usher: %d of %.0f failed", result.name, s.Failed, s.Done))
			}
		}
	}
	return errors.Join(all...)
}

// writeSummary is one line per scenario: the ratios only.
func (r report) writeSummary(b *strings.Builder) {
	b.WriteString("\n## Ratios\n\n| scenario |")
	for _, c := range r.Field[1:] {
		fmt.Fprintf(b, " %s |", c.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Field)-1) + "\n")
	for _, result := range r.Results {
		fmt.Fprintf(b, "| %s |", result.title)
		for _, c := range r.Field[1:] {
			fmt.Fprintf(b, " %s |", result.ratio(c.Name, r.Field[0].Name))
		}
		b.WriteString("\n")
	}
}

// ratio of a contender to the first one, or a dash.
func (r result) ratio(name, base string) string {
	number := func(s sample) float64 { return s.cost(r.figure) }
	found := ratios(each(r.samples[name], number), each(r.samples[base], number))
	if len(found) == 0 || r.errs[name] != nil || r.errs[base] != nil {
		return "-"
	}
	return show(spreadOf(found), 2)
}

// show writes a median with its range, with so many digits after the point.
func show(s spread, digits int) string {
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, s.Median, digits, s.Low, digits, s.High)
}

// columns of each figure's table, after the name of the proxy.
var columns = map[figure][]string{
	cpu:     {"CPU us/%s", "user us", "system us", "ratio", "%ss/s", "RSS MiB", "failed"},
	bulk:    {"CPU ms/%s", "user ms", "system ms", "ratio", "%s/s", "RSS MiB", "failed"},
	latency: {"p99 us", "p99 of all us", "p50 us", "CPU us/%s", "ratio of p99", "%ss/s", "RSS MiB", "failed"},
	memory:  {"KiB/%s", "RSS MiB", "ratio", "%ss", "failed"},
}

func (r result) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n%s", r.title, r.note)
	if r.figure == latency {
		fmt.Fprintf(b, " The rate was %.0f requests/s.", r.rate)
	}
	fmt.Fprintf(b, " Load %s. (`-scenarios %s`)\n\n| proxy |", r.loadAvg, r.name)
	heads := columns[r.figure]
	for _, head := range heads {
		if strings.Contains(head, "%s") {
			head = fmt.Sprintf(head, r.unit)
		}
		fmt.Fprintf(b, " %s |", head)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(heads)) + "\n")
	for _, name := range r.names {
		if err := r.errs[name]; err != nil {
			line, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintf(b, "| %s | failed: %s |%s\n", name, strings.ReplaceAll(line, "|", "/"), strings.Repeat(" |", len(heads)-1))
			continue
		}
		fmt.Fprintf(b, "| %s | %s |\n", name, strings.Join(r.row(name), " | "))
	}
}

// row gives the cells of columns.
func (r result) row(name string) []string {
	samples := r.samples[name]
	cell := func(digits int, number func(sample) float64) string {
		return show(spreadOf(each(samples, number)), digits)
	}
	middle := func(digits int, number func(sample) float64) string {
		return fmt.Sprintf("%.*f", digits, spreadOf(each(samples, number)).Median)
	}
	cost := cell(1, func(s sample) float64 { return s.cost(r.figure) })
	rss := middle(0, func(s sample) float64 { return float64(s.used.RSS) / (1 << 20) })
	ratio := r.ratio(name, r.names[0])
	var failed int64
	for _, s := range samples {
		failed += s.Failed
	}
	failures := fmt.Sprint(failed)
	speed := middle(0, func(s sample) float64 { return s.Done / s.Elapsed.Seconds() })
	switch r.figure {
	case latency:
		return []string{cost, fmt.Sprintf("%.0f", micros(p99OfAll(samples))), cell(0, func(s sample) float64 { return micros(s.P50) }), cell(1, func(s sample) float64 { return s.cost(cpu) }), ratio, speed, rss, failures}
	case memory:
		return []string{cost, rss, ratio, middle(0, func(s sample) float64 { return s.Done }), failures}
	}
	if r.figure == bulk {
		speed = middle(2, func(s sample) float64 { return s.Done / s.Elapsed.Seconds() })
	}
	return []string{cost, middle(1, func(s sample) float64 { return s.user(r.figure) }), middle(1, func(s sample) float64 { return s.system(r.figure) }),
		ratio, speed, rss, failures}
}

// oneLine tells of one turn while the bench runs.
func oneLine(s scenario, x sample) string {
	return fmt.Sprintf("%8.1f  user %.1f system %.1f  %.0f/s  p50 %s p99 %s  RSS %.0f MiB  failed %d", x.cost(s.figure), x.user(s.figure), x.system(s.figure),
		x.Done/x.Elapsed.Seconds(), x.P50, x.P99, float64(x.used.RSS)/(1<<20), x.Failed)
}

// writeHeaders shows that all proxies added the same, or who did not.
func (r report) writeHeaders(b *strings.Builder) {
	b.WriteString("\n## Request headers a backend saw\n\n")
	seen := map[string][]string{}
	for _, result := range r.Results {
		for name, headers := range result.headers {
			seen[name] = headers
		}
	}
	base := seen[r.Field[0].Name]
	fmt.Fprintf(b, "Through %s: %s.\n\n", r.Field[0].Name, strings.Join(base, ", "))
	for _, c := range r.Field[1:] {
		var differ []string
		for _, name := range seen[c.Name] {
			if !slices.Contains(base, name) {
				differ = append(differ, "+"+name)
			}
		}
		for _, name := range base {
			if !slices.Contains(seen[c.Name], name) {
				differ = append(differ, "-"+name)
			}
		}
		if len(differ) == 0 {
			differ = []string{"the same"}
		}
		fmt.Fprintf(b, "- %s: %s\n", c.Name, strings.Join(differ, " "))
	}
}
