package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// runH2load keeps 16 HTTP/2 connections of 32 streams each busy for the time of a turn.
func runH2load(ctx context.Context, t *target, turn time.Duration) (load, error) {
	seconds := max(1, int(turn.Round(time.Second)/time.Second))
	out, err := runLoad(ctx, turn+30*time.Second, "h2load", "-c", "16", "-m", "32", "-D", strconv.Itoa(seconds),
		"--connect-to", t.HTTPS, "https://"+secureHost+smallPath)
	if err != nil {
		return load{}, err
	}
	return parseH2load(out)
}

var (
	h2Finished = regexp.MustCompile(`(?m)^finished in ([0-9.]+)(us|ms|s|m|h),`)
	h2Requests = regexp.MustCompile(`(?m)^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2Status   = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
)

// parseH2load reads the text h2load prints:
//
//	finished in 3.00s, 61234.00 req/s, 9.99MB/s
//	requests: 183702 total, 184214 started, 183702 done, 183702 succeeded, 0 failed, 0 errored, 0 timeout
//	status codes: 183702 2xx, 0 3xx, 0 4xx, 0 5xx
//
// "failed" counts errors and time-outs; answers other than 2xx are counted as failed here too, unless h2load did so itself.
func parseH2load(text string) (load, error) {
	finished, requests, status := h2Finished.FindStringSubmatch(text), h2Requests.FindStringSubmatch(text), h2Status.FindStringSubmatch(text)
	if finished == nil || requests == nil || status == nil {
		return load{}, fmt.Errorf("h2load: want lines \"finished in\", \"requests:\" and \"status codes:\" in %q", text)
	}
	elapsed, err := time.ParseDuration(finished[1] + finished[2])
	if err != nil {
		return load{}, fmt.Errorf("h2load: %w", err)
	}
	var n [3]int64 // done, failed, 2xx
	for i, text := range []string{requests[3], requests[5], status[1]} {
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return load{}, fmt.Errorf("h2load: %w", err)
		}
	}
	return load{Done: float64(n[2]), Failed: max(n[1], n[0]-n[2]), Elapsed: elapsed}, nil
}
