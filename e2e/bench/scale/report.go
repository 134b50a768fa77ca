//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

const preface = "# Usher at scale and under attack\n\nMade by `go run ./e2e/bench/scale`, section by section; how it measures stands in [scale/doc.go](scale/doc.go).\n" +
	"Times are of a machine that also ran the load, the backends and the API server: upper bounds.\n"

// publish writes a section into the file of the results, in the place of an older one with its title.
func (p *program) publish(m measurement, text string) error {
	file := p.out
	text = fmt.Sprintf("## %s\n\n`go run ./e2e/bench/scale -only %s%s` on %s; %s.\n\n%s", m.title, m.name, p.further, time.Now().UTC().Format("2006-01-02 15:04 UTC"), machine(), strings.TrimSpace(text))
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	parts := map[string]string{m.title: text}
	for _, part := range strings.Split("\n"+string(old), "\n## ")[1:] {
		title, _, _ := strings.Cut(part, "\n")
		if title != m.title {
			parts[title] = "## " + strings.TrimSpace(part)
		}
	}
	var b strings.Builder
	b.WriteString(preface)
	for _, m := range measurements() {
		if part, ok := parts[m.title]; ok {
			b.WriteString("\n" + part + "\n")
		}
	}
	fmt.Fprintln(os.Stderr, text)
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// machine is what the figures depend on: processors, kernel, and how busy it was with other things.
func machine() string {
	var name syscall.Utsname
	var kernel []byte
	if syscall.Uname(&name) == nil {
		for _, c := range name.Release {
			if c != 0 {
				kernel = append(kernel, byte(c))
			}
		}
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	load, _ := os.ReadFile("/proc/loadavg")
	_, model, _ := strings.Cut(string(cpuinfo), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%d cores of %s, Linux %s, load average at the end %s", strings.Count(string(cpuinfo), "processor\t:"), model, kernel, first)
}

// table is rows of Markdown; the first is the head.
type table [][]string

func (t *table) row(cells ...any) {
	var row []string
	for _, c := range cells {
		row = append(row, fmt.Sprint(c))
	}
	*t = append(*t, row)
}

func (t table) String() string {
	var b strings.Builder
	for i, row := range t {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String() + "\n"
}
