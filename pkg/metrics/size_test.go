package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// size is how many series of ours a scrape has, and how many bytes it has.
func size(m *Metrics) (series, bytes int) {
	text := scrape(m)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, namespace) {
			series++
		}
	}
	return series, len(text)
}

// hosts has each of n hosts, with an Ingress and a Service of its own, answer a request.
func hosts(m *Metrics, n int) {
	for i := range n {
		r := shopRequest()
		r.Ingress, r.Service, r.Host = fmt.Sprint("ingress", i), fmt.Sprint("service", i), fmt.Sprintf("host%d.example.com", i)
		m.Request(r)
		m.Picked(r.Namespace, r.Service)
	}
}

// before are the buckets that there were when all four histograms had some by default.
func before() Options {
	return Options{
		TimeBuckets:   []float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		LengthBuckets: []float64{1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8},
		MaxSeries:     1_000_000,
	}
}

// TestDefaultSetIsSmall: 2,000 hosts have at most a third of the series and bytes that they had.
func TestDefaultSetIsSmall(t *testing.T) {
	was, now := New(Build{}, before()), New(Build{}, Options{})
	hosts(was, 2000)
	hosts(now, 2000)
	series, bytes := size(was)
	fewer, smaller := size(now)
	t.Logf("before: %d series, %d bytes; now: %d series, %d bytes", series, bytes, fewer, smaller)
	if fewer*3 > series || smaller*3 > bytes {
		t.Error("that is more than a third")
	}
}

// TestSeriesAreBounded: whatever there is of hosts, methods, codes and retries, no request is lost, and the rest counts as other.
func TestSeriesAreBounded(t *testing.T) {
	const most = 1000
	m := New(Build{}, Options{MaxSeries: most})
	idle, _ := size(m)
	for i := range 3000 {
		r := shopRequest()
		r.Namespace, r.Ingress, r.Service = "other", fmt.Sprint("ingress", i), fmt.Sprint("service", i)
		if i == 0 {
			r.Ingress, r.Service, r.Host = other, other, other // no series twice, whatever objects are named
		}
		for _, method := range []string{"GET", "POST"} {
			r.Method = method
			m.Request(r)
		}
		m.Picked(r.Namespace, r.Service)
		m.Retried(r.Namespace, r.Service, "endpoint-refused")
		m.Ejected(r.Namespace, r.Service)
	}
	of := 1 + (newHistogramKinds(New(Build{}, Options{}), Options{})).series() + 3 // of other: one code, one class, three counters
	if got, _ := size(m); got < most/2 || got > idle+most+of {
		t.Errorf("%d series besides %d, want at most %d and %d of other", got-idle, idle, most, of)
	}
	for name, want := range map[string]int{
		"usher_requests_total": 6000, "usher_request_duration_seconds_count": 6000, "usher_response_size_bytes_count": 6000,
		"usher_endpoint_picks_total": 3000, "usher_retries_total": 3000, "usher_endpoint_ejections_total": 3000,
	} {
		if got := sumOf(t, m, name); got != want {
			t.Errorf("%s: %d in all, want %d", name, got, want)
		}
	}
	if got := samplesOf(t, m, `usher_requests_total{code="200",host="other",ingress="other",ingress_namespace="",method="other",reason="",service="other"}`); len(got) != 1 {
		t.Errorf("other: %q", got)
	}
}

// TestSeriesAreGivenBack: what leaves the table makes place, also when requests of the old table are still running.
func TestSeriesAreGivenBack(t *testing.T) {
	m := New(Build{}, Options{MaxSeries: 100})
	for range 20 {
		hosts(m, 4)
		kept := m.requests.routes.get(Route{"demo", "ingress0", "service0", "host0.example.com"})
		m.Retain(func(Route) bool { return false })
		kept.counter(answer{"GET", "500", ""}).Add(1)
		kept.service.class(500).duration.observe(int64(time.Second))
	}
	if left := m.budget.left.Load(); left != 100 {
		t.Errorf("%d series are left, want 100", left)
	}
	if got := samplesOf(t, m, `usher_requests_total{`); got != nil {
		t.Errorf("got %q", got)
	}
}

// sumOf adds up the samples of a metric.
func sumOf(t *testing.T, m *Metrics, name string) (sum int) {
	t.Helper()
	for _, line := range samplesOf(t, m, name+"{") {
		var v float64
		if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &v); err != nil {
			t.Fatal(err)
		}
		sum += int(v)
	}
	return sum
}
