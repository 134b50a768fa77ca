//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/usher-ingress/usher/e2e/traffic"
)

// zeroRate is how many requests a second the tests of this file aim at. A machine that cannot do that does fewer.
func zeroRate(t *testing.T) int {
	t.Helper()
	text := os.Getenv("USHER_E2E_RATE")
	if text == "" {
		return 2000
	}
	rate, err := strconv.Atoi(text)
	if err != nil || rate < 100 {
		t.Fatalf("USHER_E2E_RATE=%q: want a number of at least 100", text)
	}
	return rate
}

// fewest is how many requests of each kind there must be for a run to mean anything, on however slow a machine.
const fewest = 200

// zeroSite is a Service of ten Pods, spoken to in HTTP/1.1 and, for gRPC, in HTTP/2.
func zeroSite(t *testing.T) (*scene, *deployment) {
	t.Helper()
	s := newScene(t)
	d := s.deploy("web", 10)
	s.route("web", "zero.example", "/", "web")
	s.ingress("rpc", `rules: [{host: zero.example, http: {paths: [{path: /zero.Echo, pathType: Prefix, backend: {service: {name: web, port: {number: 81}}}}]}}]`,
		`nginx.ingress.kubernetes.io/backend-protocol: GRPC`)
	return s, d
}

// TestZeroDropRollingUpdate replaces ten Pods one by one under load.
func TestZeroDropRollingUpdate(t *testing.T) {
	s, d := zeroSite(t)
	u := s.usher("--access-log=false")
	u.expect("http://zero.example/", "200 ")
	site := &traffic.Site{Host: "zero.example", Address: u.address}
	load := traffic.Start(site.Mixed(zeroRate(t))...)
	old := append([]*pod(nil), d.pods...)
	// How much sooner than the EndpointSlice the application hears of its end.
	ahead := []time.Duration{0, 50 * time.Millisecond, -50 * time.Millisecond, 300 * time.Millisecond, -500 * time.Millisecond}
	for i, p := range old {
		d.next()
		p.terminate(ahead[i%len(ahead)])
		if err := load.Await(t.Context(), fewest/10); err != nil {
			t.Error(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	d.gone.Wait()
	report := finish(t, load)
	noFailures(t, report)
	doneOnce(t, d, report, 0)
}

// TestZeroDropKill kills six of ten Pods under load, one after the other, with requests in them; others take their place.
func TestZeroDropKill(t *testing.T) {
	s, d := zeroSite(t)
	u := s.usher("--access-log=false")
	u.expect("http://zero.example/", "200 ")
	site := &traffic.Site{Host: "zero.example", Address: u.address, Cuts: true}
	load := traffic.Start(site.Mixed(zeroRate(t))...)
	for i, p := range append([]*pod(nil), d.pods[:6]...) {
		if err := load.Await(t.Context(), fewest/6); err != nil {
			t.Error(err)
		}
		p.kill(time.Duration(i) * 200 * time.Millisecond)
		d.next()
	}
	report := finish(t, load)
	begun, err := traffic.Journal(d.journal)
	if err != nil {
		t.Fatal(err)
	}
	lost, failed := 0, len(report.Failures)
	// What may fail is what may not be done twice, when it was in a Pod that died.
	report.Failures = slices.DeleteFunc(report.Failures, func(f traffic.Failure) bool {
		answer, ours := f.Reason()
		if !ours || f.Kind != "POST" && f.Kind != "gRPC" || answer.Reason != "endpoint-reset" {
			return false
		}
		if len(begun[answer.ID]) == 0 {
			lost++ // it was in the Pod, but the application had not come to it
		}
		return true
	})
	t.Logf("%d of the failed ones had come to a Pod that had not begun them", lost)
	noFailures(t, report)
	doneOnce(t, d, report, failed)
}

// finish ends a load and says how it went.
func finish(t *testing.T, load *traffic.Load) traffic.Report {
	t.Helper()
	report := load.End()
	t.Log(report)
	for kind, n := range report.Sent {
		if n < fewest {
			t.Errorf("only %d requests of kind %s, want at least %d", n, kind, fewest)
		}
	}
	return report
}

// noFailures fails the test for each failure.
func noFailures(t *testing.T, report traffic.Report) {
	t.Helper()
	for i, f := range report.Failures {
		if i == 20 {
			t.Errorf("and %d more", len(report.Failures)-i)
			return
		}
		t.Errorf("%s %s: %v", f.At.Format("05.000"), f.Kind, f.Err)
	}
}

// doneOnce fails the test for each POST and gRPC call that Pods have worked on twice, and if they have not worked on all but failed.
func doneOnce(t *testing.T, d *deployment, report traffic.Report, failed int) {
	t.Helper()
	journal, err := traffic.Journal(d.journal)
	if err != nil {
		t.Fatal(err)
	}
	answered := report.Sent["POST"] + report.Sent["gRPC"] - int64(failed)
	if int64(len(journal)) < answered {
		t.Errorf("the Pods have worked on %d requests, but %d were answered", len(journal), answered)
	}
	for id, pods := range journal {
		if len(pods) > 1 {
			t.Errorf("request %s was worked on by %v", id, pods)
		}
	}
}

// TestZeroDropRestart replaces both replicas of Usher, one after the other, behind a TCP balancer that asks them whether they are ready.
func TestZeroDropRestart(t *testing.T) {
	s, d := zeroSite(t)
	const entrance = "192.0.2.200"
	b, err := traffic.Balance(entrance, "80", "443")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	replica := func() *usher {
		u := s.start("--access-log=false", "--shutdown-delay=3s")
		b.Add(&traffic.Target{IP: u.address, Health: u.admin + "/readyz"})
		return u
	}
	healthy := func(n int) {
		t.Helper()
		await(t, func() error {
			if got := b.Healthy(); got != n {
				return fmt.Errorf("%d replicas are healthy, want %d", got, n)
			}
			return nil
		})
	}
	replicas := []*usher{replica(), replica()}
	healthy(2)
	site := &traffic.Site{Host: "zero.example", Address: entrance, Restarts: true}
	load := traffic.Start(site.Mixed(zeroRate(t))...)
	for _, u := range replicas {
		if err := load.Await(t.Context(), fewest/4); err != nil {
			t.Error(err)
		}
		if err := u.stop(); err != nil {
			t.Errorf("end of a replica: %v\n%s", err, u.tail())
		}
		healthy(1)
		replica()
		healthy(2)
	}
	if err := load.Await(t.Context(), fewest/4); err != nil {
		t.Error(err)
	}
	report := finish(t, load)
	noFailures(t, report)
	doneOnce(t, d, report, 0)
}
