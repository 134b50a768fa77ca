package main

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// runHandshakes makes new TLS connections for the time of a turn, eight at a time: a handshake, one request, close. With resume each
// worker resumes the session of its last connection, and one that is not resumed has failed. The count is bounded so that the ports in
// TIME_WAIT are too.
func runHandshakes(ctx context.Context, t *target, turn time.Duration, resume bool) (load, error) {
	const workers, most = 8, 12000
	var started, done, failed atomic.Int64
	begin := time.Now()
	end := begin.Add(turn)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			config := newTLS()
			if resume {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			for first := true; time.Now().Before(end) && ctx.Err() == nil && started.Add(1) <= most; first = false {
				if oneHandshake(ctx, t, config, resume && !first) != nil {
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

var errNotResumed = errors.New("the session was not resumed")

func oneHandshake(ctx context.Context, t *target, config *tls.Config, resumes bool) error {
	c, err := connect(ctx, t.HTTPS, config, time.Now().Add(10*time.Second))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.ask(smallPath, secureHost, "Connection: close\r\n"); err != nil {
		return err
	}
	if secure, ok := c.Conn.(*tls.Conn); ok && resumes && !secure.ConnectionState().DidResume {
		return errNotResumed
	}
	return nil
}
