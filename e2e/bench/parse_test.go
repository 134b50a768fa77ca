package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	clean := `Running 3s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.33ms  402.26us   9.95ms   86.06%
    Req/Sec    48.32k     4.68k   54.61k    70.00%
  144283 requests in 3.00s, 34.13MB read
Requests/sec:  48079.84
Transfer/sec:     11.37MB
`
	troubled := strings.Replace(clean, "Requests/sec", "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 12\nRequests/sec", 1)
	for _, c := range []struct {
		name, text string
		failed     int64
	}{{"clean", clean, 0}, {"with errors", troubled, 22}} {
		got, err := parseWrk(c.text)
		if err != nil || got.Done != 144283 || got.Elapsed != 3*time.Second || got.Failed != c.failed {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if _, err := parseWrk("unable to connect to 127.0.0.1:1 Connection refused"); err == nil {
		t.Error("no error for a text without figures")
	}
}

func TestParseH2load(t *testing.T) {
	text := `starting benchmark...
finished in 3.00s, 61000.00 req/s, 9.99MB/s
requests: 183000 total, 183512 started, 183000 done, 182990 succeeded, 10 failed, 4 errored, 0 timeout
status codes: 182990 2xx, 0 3xx, 0 4xx, 10 5xx
traffic: 29.97MB (31425772) total, 1.75MB (1835700) headers (space savings 95.00%), 18.32MB (19209000) data
`
	got, err := parseH2load(text)
	if err != nil || got.Done != 182990 || got.Failed != 10 || got.Elapsed != 3*time.Second {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseH2load("finished in 1.00s, 0.00 req/s, 0B/s"); err == nil {
		t.Error("no error for a text without counts")
	}
}

func TestParseStat(t *testing.T) {
	text := "4711 (odd) name) S 1 4711 4711 0 -1 4194560 1234 0 0 0 150 250 0 0 20 0 9 0 100 200000000 2560 18446744073709551615 1 1 0"
	got, err := parseStat(text)
	if err != nil {
		t.Fatal(err)
	}
	want := usage{User: 1500 * time.Millisecond, System: 2500 * time.Millisecond, RSS: 2560 * int64(os.Getpagesize())}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "1 (a) S 1", "4711 no name"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestUsageOfSelf(t *testing.T) {
	got, err := usageOf(os.Getpid())
	if err != nil || got.RSS <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStatusField(t *testing.T) {
	if got := statusField("Name:\tbench\nCpus_allowed_list:\t0-1\n", "Cpus_allowed_list"); got != "0-1" {
		t.Errorf("got %q", got)
	}
}

func TestAnswerLength(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
		ok   bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Le", 0, true},
		{"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 43, true},
		{"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 0, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, false},
	} {
		got, err := answerLength([]byte(c.text))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v; want %d", c.text, got, err, c.want)
		}
	}
}

// The figure is the median of the windows: one that was disturbed does not move it, though it does the p99 of all.
func TestWindows(t *testing.T) {
	p := &paced{begin: time.Now(), delays: make([][]time.Duration, 3)}
	for i := range p.delays {
		for n := range 100 {
			p.delays[i] = append(p.delays[i], time.Duration(n+1)*time.Microsecond)
		}
	}
	p.delays[1][7] = time.Second
	p.delays[1][8], p.delays[1][9], p.delays[1][10] = time.Second, time.Second, time.Second
	got := p.load()
	if got.Done != 300 || got.P50 != 52*time.Microsecond || got.P99 != 99*time.Microsecond {
		t.Errorf("%.0f done, p50 %s, p99 %s: want 300, 52µs, 99µs", got.Done, got.P50, got.P99)
	}
	if all := p99OfAll([]sample{{load: got}}); all != time.Second {
		t.Errorf("p99 of all %s: want 1s", all)
	}
}
