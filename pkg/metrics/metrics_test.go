package metrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shopRequest() *Request {
	return &Request{
		Route:  Route{Namespace: "demo", Ingress: "shop", Service: "cart", Host: "shop.example.com"},
		Method: "GET", Status: 200, Duration: 3 * time.Millisecond, Upstream: 2 * time.Millisecond, Received: 10, Sent: 1234,
	}
}

// expect compares one metric's whole exposition.
func expect(t *testing.T, m *Metrics, name, want string) {
	t.Helper()
	var got []string
	for _, line := range strings.Split(scrape(m), "\n") {
		words := strings.Fields(line)
		if strings.HasPrefix(line, name+"{") || len(words) > 2 && words[0] == "#" && words[2] == name {
			got = append(got, line)
		}
	}
	if got := strings.Join(got, "\n"); got != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// samplesOf are the lines of a metric, without help and type.
func samplesOf(t *testing.T, m *Metrics, name string) []string {
	t.Helper()
	var lines []string
	for _, line := range strings.Split(scrape(m), "\n") {
		if strings.HasPrefix(line, name) {
			lines = append(lines, line)
		}
	}
	return lines
}

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestRequests(t *testing.T) {
	m := New(Build{}, Options{TimeBuckets: []float64{.002, .005}, LengthBuckets: []float64{100, 1000}})
	r := shopRequest()
	m.Request(r)
	r.Status, r.Reason, r.Upstream = 502, "endpoint-refused", 0
	m.Request(r)
	m.Request(&Request{Method: "GET", Status: 404, Reason: "no-host"})
	expect(t, m, "usher_requests_total", `
# HELP usher_requests_total Requests answered. reason tells why Usher made the answer itself, and is empty when the application did.
# TYPE usher_requests_total counter
usher_requests_total{code="200",host="shop.example.com",ingress="shop",ingress_namespace="demo",method="GET",reason="",service="cart"} 1
usher_requests_total{code="404",host="",ingress="",ingress_namespace="",method="GET",reason="no-host",service=""} 1
usher_requests_total{code="502",host="shop.example.com",ingress="shop",ingress_namespace="demo",method="GET",reason="endpoint-refused",service="cart"} 1
`)
	if got := samplesOf(t, m, "usher_upstream_duration_seconds_count{"); len(got) != 1 {
		t.Errorf("where no endpoint was asked there is no time to tell: %q", got)
	}
	for _, want := range []string{
		`usher_request_duration_seconds_bucket{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx",le="0.002"} 0`,
		`usher_request_duration_seconds_bucket{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx",le="0.005"} 1`,
		`usher_request_duration_seconds_sum{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx"} 0.003`,
		`usher_upstream_duration_seconds_count{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx"} 1`,
		`usher_request_size_bytes_bucket{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx",le="100"} 1`,
		`usher_response_size_bytes_bucket{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx",le="1000"} 0`,
		`usher_response_size_bytes_bucket{ingress="shop",ingress_namespace="demo",service="cart",status_class="2xx",le="+Inf"} 1`,
	} {
		if !strings.Contains(scrape(m), want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}

// Whatever a client or an application sends, labels stay few.
func TestLabelsAreBounded(t *testing.T) {
	m := New(Build{}, Options{})
	for i := range 1000 {
		r := shopRequest()
		r.Method, r.Status = fmt.Sprintf("METHOD%d", i), i
		m.Request(r)
	}
	if n := len(samplesOf(t, m, "usher_requests_total")); n > 70 {
		t.Errorf("%d series", n)
	}
	for status, want := range map[int]string{200: "200", 499: "499", 299: "2xx", 599: "5xx", 0: "5xx", -1: "5xx", 1000: "5xx"} {
		if got := code(status); got != want {
			t.Errorf("%d: got %s, want %s", status, got, want)
		}
	}
}

func TestInvalidTextDoesNotBreakTheScrape(t *testing.T) {
	m := New(Build{}, Options{})
	m.Certificates([]Certificate{{Host: "\xff.example.com"}})
	r := shopRequest()
	r.Host = "\xff.example.com"
	m.Request(r)
	if w := scrape(m); !strings.Contains(w, "usher_requests_total{") {
		t.Errorf("got %q", w)
	}
}

func TestRetain(t *testing.T) {
	m := New(Build{}, Options{})
	for _, ingress := range []string{"shop", "blog"} {
		for _, service := range []string{"web", "api"} {
			r := shopRequest()
			r.Ingress, r.Service = ingress, ingress+"-"+service
			m.Request(r)
			m.Picked("demo", r.Service)
			m.Retried("demo", r.Service, "endpoint-refused")
		}
	}
	m.Request(&Request{Method: "GET", Status: 404, Reason: "no-host"})
	m.Retain(func(r Route) bool { return r.Ingress == "shop" && r.Service == "shop-web" })
	for name, want := range map[string]int{
		"usher_requests_total": 2, "usher_request_duration_seconds_count": 2, "usher_endpoint_picks_total": 1, "usher_retries_total": 1,
	} {
		got := samplesOf(t, m, name+"{")
		if len(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if strings.Contains(scrape(m), "blog") {
		t.Error("series of an Ingress that left are still there")
	}
	m.Request(shopRequest()) // and it goes on
}

func TestTable(t *testing.T) {
	m := New(Build{}, Options{})
	m.TableSwapped(Swap{Generation: 7, Resolve: 3 * time.Millisecond, Swap: 20 * time.Microsecond, Live: 30 * time.Millisecond})
	m.TableFailed()
	m.Diagnostics([]Diagnosed{{"error", "no-service", 2}, {"warning", "bad-annotation", 1}})
	m.Diagnostics([]Diagnosed{{"error", "no-service", 1}})
	expect(t, m, "usher_diagnostics", `
# HELP usher_diagnostics Things found wrong with the objects, now. `+"`usher lint`"+` prints them.
# TYPE usher_diagnostics gauge
usher_diagnostics{reason="no-service",severity="error"} 1
`)
	for name, want := range map[string]string{
		"usher_table_generation":                          "7",
		"usher_table_swaps_total":                         "1",
		"usher_table_failures_total":                      "1",
		`usher_change_to_live_seconds_bucket{le="0.05"}`:  "1",
		`usher_change_to_live_seconds_bucket{le="0.025"}`: "0",
		"usher_table_swap_duration_seconds_count":         "1",
	} {
		if got := samplesOf(t, m, name+" "); len(got) != 1 || got[0] != name+" "+want {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
}

// A Secret that answers for two hosts is one series; of two certificates in one Secret the first to expire counts.
func TestCertificates(t *testing.T) {
	m := New(Build{}, Options{})
	early, late := time.Unix(1_700_000_000, 0), time.Unix(1_900_000_000, 0)
	m.Certificates([]Certificate{{"demo", "tls", "shop.example.com", late}, {"demo", "tls", "shop.example.com", early}})
	expect(t, m, "usher_certificate_not_after_timestamp_seconds", `
# HELP usher_certificate_not_after_timestamp_seconds When a certificate in use expires, in seconds since 1970. Alert on this minus time().
# TYPE usher_certificate_not_after_timestamp_seconds gauge
usher_certificate_not_after_timestamp_seconds{host="shop.example.com",secret="tls",secret_namespace="demo"} 1.7e+09
`)
}

func TestConnectionsAndCluster(t *testing.T) {
	m := New(Build{Version: "1.2.3", Revision: "abc"}, Options{})
	if got := samplesOf(t, m, "usher_connections{"); got != nil {
		t.Errorf("nobody was asked, and there is %q", got)
	}
	m.ConnectionsFrom(func(tell func(string, string, int64)) { tell("http", "idle", 3) })
	m.ConnectionOpened("http")
	m.ConnectionRefused("tcp")
	m.AccessLogDropsFrom(func() uint64 { return 5 })
	m.LogDropsFrom(func() uint64 { return 6 })
	m.HandshakeDone("ok")
	m.HTTP2Error("bad-stream-id")
	m.RequestRefused("bare-lf")
	m.CertificateServed("fallback")
	m.APIServerConnected(true)
	m.APIServerError("Ingress")
	m.Leader(true)
	for _, want := range []string{
		`usher_connections{listener="http",state="idle"} 3`,
		`usher_access_log_dropped_total 5`,
		`usher_log_dropped_total 6`,
		`usher_connections_opened_total{listener="http"} 1`,
		`usher_connections_refused_total{listener="tcp"} 1`,
		`usher_tls_handshakes_total{result="ok"} 1`,
		`usher_http2_errors_total{kind="bad-stream-id"} 1`,
		`usher_requests_refused_total{reason="bare-lf"} 1`,
		`usher_tls_certificates_served_total{source="fallback"} 1`,
		`usher_api_server_connected 1`,
		`usher_api_server_errors_total{kind="Ingress"} 1`,
		`usher_leader 1`,
		`usher_build_info{go_version="go1.`,
		`go_goroutines `,
		`process_cpu_seconds_total `,
	} {
		if !strings.Contains(scrape(m), want) {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestConventions(t *testing.T) {
	m := New(Build{}, Options{})
	m.Request(shopRequest())
	m.Picked("demo", "cart")
	m.Retried("demo", "cart", "endpoint-refused")
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace+"_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// The catalogue is what the documentation is made of: every metric of ours is in it, under its name, with a sentence.
func TestCatalogue(t *testing.T) {
	m := New(Build{}, Options{})
	m.Request(shopRequest())
	known := map[string]Description{}
	for _, d := range m.Catalogue() {
		if known[d.Name].Name != "" {
			t.Errorf("%s is listed twice", d.Name)
		}
		known[d.Name] = d
		if !strings.HasSuffix(d.Help, ".") || d.Type == "" {
			t.Errorf("%s: %q %q", d.Name, d.Type, d.Help)
		}
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace) {
			continue
		}
		d, ok := known[f.GetName()]
		if !ok || d.Help != f.GetHelp() || d.Type != strings.ToLower(f.GetType().String()) {
			t.Errorf("%s: the catalogue says %+v", f.GetName(), d)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	m := New(Build{}, Options{})
	var all sync.WaitGroup
	const each = 500
	for worker := range 4 {
		all.Go(func() {
			for i := range each {
				r := shopRequest()
				r.Service = fmt.Sprint("service", i%7)
				r.Status = 200 + i%5
				m.Request(r)
				m.Picked("demo", r.Service)
				if worker == 0 && i%100 == 0 {
					scrape(m)
				}
			}
		})
	}
	all.Wait()
	total := uint64(0)
	m.requests.services.each(func(_ service, s *serviceSeries) {
		for i := range s.classes[2].Load().duration.counts {
			total += s.classes[2].Load().duration.counts[i].Load()
		}
	})
	if total != 4*each {
		t.Errorf("%d requests counted, want %d", total, 4*each)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m := New(Build{}, Options{})
	r := shopRequest()
	for name, count := range map[string]func(){
		"Request": func() { m.Request(r) },
		"Picked":  func() { m.Picked("demo", "cart") },
		"Retried": func() { m.Retried("demo", "cart", "endpoint-refused") },
	} {
		count()
		if n := testing.AllocsPerRun(100, count); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// many is the traffic of 10,000 routes.
func many(m *Metrics) []*Request {
	var all []*Request
	for i := range 10_000 {
		r := shopRequest()
		r.Ingress, r.Host = fmt.Sprint("ingress", i), fmt.Sprintf("host%d.example.com", i)
		m.Request(r)
		all = append(all, r)
	}
	return all
}

func BenchmarkRequest(b *testing.B) {
	m := New(Build{}, Options{})
	all := many(m)
	b.Run("one route", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Request(all[0])
		}
	})
	b.Run("10000 routes", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.Request(all[i%len(all)])
		}
	})
	b.Run("Picked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Picked("demo", "cart")
		}
	})
}

func BenchmarkRetain(b *testing.B) {
	m := New(Build{}, Options{})
	many(m)
	b.ReportAllocs()
	for b.Loop() {
		m.Retain(func(Route) bool { return true })
	}
}
