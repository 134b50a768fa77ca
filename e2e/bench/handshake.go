package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// runHandshakes makes new TLS connections for the time of a turn, eight at a time: a full handshake, one request, close. The count is
// bounded so that the ports in TIME_WAIT are too.
func runHandshakes(ctx context.Context, t *target, turn time.Duration) (load, error) {
	const workers, most = 8, 12000
	var started, done, failed atomic.Int64
	begin := time.Now()
	end := begin.Add(turn)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil && started.Add(1) <= most {
				if oneHandshake(ctx, t) != nil {
					failed.Add(1)
					continue
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return load{Done: float64(done.Load()), Failed: failed.Load(), Elapsed: time.Since(begin)}, ctx.Err()
}

func oneHandshake(ctx context.Context, t *target) error {
	c, err := dial(ctx, t, true, time.Now().Add(10*time.Second))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.ask(smallPath, secureHost, "Connection: close\r\n")
}
