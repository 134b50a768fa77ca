package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// settle is how long idle connections rest before memory is read: long enough for a collector that runs at leisure.
const settle = 3 * time.Second

// runIdle opens n keep-alive connections, makes one request on each and lets them rest. Release closes them.
func runIdle(ctx context.Context, t *target, secure bool, n int) (load, error) {
	begin := time.Now()
	open := make([]*client, n)
	errs := make([]error, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range next {
				open[i], errs[i] = openIdle(ctx, t, secure, begin.Add(2*time.Minute))
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	result := load{Elapsed: time.Since(begin), Release: func() {
		for _, c := range open {
			if c != nil {
				c.drop()
			}
		}
	}}
	for _, c := range open {
		if c != nil {
			result.Done++
		} else {
			result.Failed++
		}
	}
	if result.Done < float64(n)/2 {
		result.Release()
		return load{}, errors.Join(errs[:min(n, 20)]...)
	}
	select {
	case <-ctx.Done():
		result.Release()
		return load{}, ctx.Err()
	case <-time.After(settle):
	}
	return result, nil
}

func openIdle(ctx context.Context, t *target, secure bool, deadline time.Time) (*client, error) {
	c, err := dial(ctx, t, secure, deadline)
	if err != nil {
		return nil, err
	}
	if err := c.ask(smallPath, hostFor(secure), ""); err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}
