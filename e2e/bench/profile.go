package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profileAll gives Usher one more turn, not measured, under its CPU profiler: go tool pprof reads the file. It does nothing without -profile.
func (b *bench) profileAll(ctx context.Context, r *result, targets []*target) error {
	if b.profile == "" {
		return nil
	}
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	for _, t := range targets {
		if t.Name != b.profiled() || r.errs[t.Name] != nil {
			continue
		}
		file := filepath.Join(b.profile, r.name+".pprof")
		saved := make(chan error, 1)
		seconds := max(1, int(b.duration.Seconds()))
		go func() { saved <- saveProfile(ctx, t.Admin, seconds, file) }()
		l, err := r.run(ctx, b, t)
		if l.Release != nil {
			l.Release()
		}
		if err := errors.Join(err, <-saved); err != nil {
			return fmt.Errorf("profile of %s: %w", r.name, err)
		}
		fmt.Fprintln(b.progress, "bench: wrote", file)
	}
	return nil
}

// profiled is Usher, or its bare engine when Usher does not take part.
func (b *bench) profiled() string {
	for _, c := range b.field {
		if c.Name == "usher" {
			return c.Name
		}
	}
	return "engine"
}

func saveProfile(ctx context.Context, admin string, seconds int, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds+20)*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, seconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	return errors.Join(err, out.Close())
}
