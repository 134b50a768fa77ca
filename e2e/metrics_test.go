//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

const bucketsBefore = "--time-buckets=0.001,0.002,0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10"

// TestMetricsAreBounded: 2,000 hosts have at most a third of the series and bytes that they had when each histogram had buckets, and
// never more series than allowed; then the rest is counted as other.
func TestMetricsAreBounded(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	const hosts = 2000
	for i := range hosts {
		s.ingress(fmt.Sprint("shop", i), hostRule(fmt.Sprintf("shop%d.example", i), "web"))
	}
	before, beforeBytes := metricsOf(s.usher(bucketsBefore, "--length-buckets=100,1e3,1e4,1e5,1e6,1e7,1e8", "--metrics-max-series=1000000"), hosts)
	series, bytes := metricsOf(s.usher(), hosts)
	t.Logf("before: %d series, %d bytes; now: %d series, %d bytes", before, beforeBytes, series, bytes)
	if before < 50*hosts || series*3 > before || bytes*3 > beforeBytes {
		t.Error("that is more than a third")
	}
	u := s.usher("--metrics-max-series=1000")
	if series, _ := metricsOf(u, hosts); series > 1200 {
		t.Errorf("%d series with --metrics-max-series=1000", series)
	}
	if text := read(t, u.admin+"/metrics"); !strings.Contains(text, `usher_requests_total{code="200",host="other",ingress="other",ingress_namespace=""`) {
		t.Error("nothing is counted as other")
	}
}

// metricsOf asks each host once, and returns how many series there are of Usher's own then, and how large the scrape is.
func metricsOf(u *usher, hosts int) (series, bytes int) {
	u.t.Helper()
	for i := range hosts {
		url := fmt.Sprintf("http://shop%d.example/", i)
		await(u.t, func() error { _, err := u.get(url); return err })
	}
	text := read(u.t, u.admin+"/metrics")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "usher_") {
			series++
		}
	}
	return series, len(text)
}
