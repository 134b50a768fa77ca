package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// load is what a load generator counted in one turn.
type load struct {
	Done     float64 // requests, handshakes, messages, connections or GiB
	Failed   int64   // what should have been done and was not, or was answered wrongly
	Elapsed  time.Duration
	P50, P99 time.Duration   // zero unless the scenario is about them; P99 is the median of the windows' (see paced)
	Delays   []time.Duration // of all requests, sorted; nil unless the scenario is about them
	Release  func()          // not nil: ends what must last until memory has been read
}

// connections is how many a load keeps busy.
const connections = 64

// runWrk keeps 64 keep-alive connections busy for the time of a turn.
func runWrk(ctx context.Context, url, host string, turn time.Duration) (load, error) {
	seconds := max(1, int(turn.Round(time.Second)/time.Second)) // wrk knows whole seconds only
	out, err := runLoad(ctx, turn+30*time.Second, "wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds)+"s",
		"--timeout", "10s", "-H", "Host: "+host, url)
	if err != nil {
		return load{}, err
	}
	return parseWrk(out)
}

var (
	wrkTotal   = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+)(us|ms|s|m|h),`)
	wrkSockets = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus  = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk reads the text wrk 4 prints. The lines about errors are there only if there were any:
//
//	Running 3s test @ http://127.0.0.1:8080/
//	  1 threads and 64 connections
//	  Thread Stats   Avg      Stdev     Max   +/- Stdev
//	    Latency     1.33ms  402.26us   9.95ms   86.06%
//	    Req/Sec    48.32k     4.68k   54.61k    70.00%
//	  144283 requests in 3.00s, 34.13MB read
//	  Socket errors: connect 0, read 3, write 0, timeout 0
//	  Non-2xx or 3xx responses: 12
//	Requests/sec:  48079.84
//	Transfer/sec:     11.37MB
func parseWrk(text string) (load, error) {
	total := wrkTotal.FindStringSubmatch(text)
	if total == nil {
		return load{}, fmt.Errorf("wrk: no line \"N requests in T\" in %q", text)
	}
	requests, err := strconv.ParseInt(total[1], 10, 64)
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w", err)
	}
	elapsed, err := time.ParseDuration(total[2] + total[3])
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w", err)
	}
	var failed int64
	for _, pattern := range []*regexp.Regexp{wrkSockets, wrkStatus} {
		found := pattern.FindStringSubmatch(text)
		for _, number := range found[min(1, len(found)):] {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				return load{}, fmt.Errorf("wrk: %w", err)
			}
			failed += n
		}
	}
	return load{Done: float64(requests), Failed: failed, Elapsed: elapsed}, nil
}
