//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// startup is one start.
type startup struct {
	ready            time.Duration
	cpu              time.Duration
	rss, peak, later float64 // MiB: when ready, the most until then, and some seconds later
}

// settle is how long after Ready memory is read again: what the start needed has been given back by then.
const settle = 5 * time.Second

func (s startup) cells() []any {
	return []any{fmt.Sprintf("%.2f s", s.ready.Seconds()), fmt.Sprintf("%.2f s", s.cpu.Seconds()), fmt.Sprintf("%.0f MiB", s.later), fmt.Sprintf("%.0f MiB", s.peak)}
}

// measureStart starts Usher three times and gives the middle one. The process of the last start goes on.
func measureStart(ctx context.Context, b *bench, flags ...string) (startup, *usher, error) {
	var all []startup
	for i := range 3 {
		u, err := startUsher(ctx, b.dir, flags...)
		if err != nil {
			return startup{}, nil, err
		}
		s := startup{ready: time.Since(u.started), cpu: u.cpu(), rss: u.memory("VmRSS")}
		time.Sleep(settle)
		s.peak, s.later = u.memory("VmHWM"), u.memory("VmRSS")
		b.log("ready after %s, %s of CPU, %.0f MiB, peak %.0f, later %.0f", s.ready, s.cpu, s.rss, s.peak, s.later)
		if all = append(all, s); i == 2 {
			slices.SortFunc(all, func(a, b startup) int { return int(a.ready - b.ready) })
			return all[1], u, nil
		}
		u.stop()
	}
	return startup{}, nil, nil
}

func measureFiles(ctx context.Context, b *bench) (string, error) {
	t := table{{"Ingresses", "hosts", "format", "to Ready", "CPU", "RSS 5 s later", "peak RSS"}}
	for _, format := range []string{"json", "yaml"} {
		for _, n := range b.sizes {
			dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", format, n))
			if err := os.Mkdir(dir, 0o755); err != nil {
				return "", err
			}
			if err := writeFolder(dir, format, n); err != nil {
				return "", err
			}
			b.log("%d Ingresses as %s", n, format)
			s, u, err := measureStart(ctx, b, "--manifests", dir)
			if err != nil {
				return "", err
			}
			u.stop()
			t.row(append([]any{n, 3 * n, format}, s.cells()...)...)
			if err := os.RemoveAll(dir); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%d Services, %d endpoints; lists of 100 objects a file, in the page cache. The middle of three starts.\n\n%s", services, 3*services, t), nil
}
