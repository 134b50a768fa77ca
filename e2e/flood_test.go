//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStalledReaderOfTheLog: nobody reads stderr, and thousands of mistakes are logged there. Changes go live all the same, what does not
// fit is counted, and the end waits for nobody.
func TestStalledReaderOfTheLog(t *testing.T) {
	s := folderScene(t)
	s.backend("app")
	s.route("app", "app.test", "/", "app")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	u, cmd := s.command("--shutdown-grace-period", "2", "--access-log=false")
	cmd.Stdout, cmd.Stderr = io.Discard, writer
	s.mistakes(20_000) // before the start, so that they are logged at once
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	await(t, func() error { return u.ready(t.Context()) })
	u.expect("http://app.test/", "app")
	await(t, func() error {
		if dropped, err := u.metric("usher_log_dropped_total"); err != nil || dropped == 0 {
			return fmt.Errorf("%v lines dropped, %v", dropped, err)
		}
		return nil
	})
	s.route("new", "new.test", "/", "app")
	u.expect("http://new.test/", "app")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("end of usher: %v", err)
		}
	case <-time.After(patience):
		t.Error("the end waits for the reader of the log")
	}
}

// mistakes writes an Ingress with n paths to Services that do not exist.
func (s *scene) mistakes(n int) {
	s.t.Helper()
	for first := 0; first < n; first += 5000 {
		var b strings.Builder
		fmt.Fprintf(&b, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: mistakes-%d}\n", first)
		b.WriteString("spec: {ingressClassName: $class, rules: [{host: mistakes.test, http: {paths: [\n")
		for i := first; i < min(n, first+5000); i++ {
			fmt.Fprintf(&b, "{path: /%d, pathType: Prefix, backend: {service: {name: missing-%d, port: {number: 80}}}},\n", i, i)
		}
		b.WriteString("]}}]}\n")
		s.apply(b.String())
	}
}

// TestOthersWhileATenantCreatesThousands: on one processor, others are answered while 10,000 Ingresses with 30,000 hosts come at once, and
// all of those are live in the end.
func TestOthersWhileATenantCreatesThousands(t *testing.T) {
	s := folderScene(t)
	s.backend("app")
	s.route("app", "app.test", "/", "app")
	t.Setenv("GOMAXPROCS", "1")
	u := s.usher("--access-log=false")
	u.expect("http://app.test/", "app")
	end := s.askOthers(u)
	const files, each = 10, 1000
	for file := range files {
		s.ingresses(file, each)
	}
	u.expect(fmt.Sprintf("http://h%d-2.test/", files*each-1), "app")
	for i := range files {
		u.expect(fmt.Sprintf("http://h%d-0.test/", i*each), "app")
	}
	end("while a tenant created 10,000 Ingresses")
}

// ingresses writes a file of so many Ingresses with three hosts each.
func (s *scene) ingresses(file, n int) {
	s.t.Helper()
	var items []string
	for i := file * n; i < (file+1)*n; i++ {
		var rules []string
		for j := range 3 {
			rules = append(rules, ruleJSON(fmt.Sprintf("h%d-%d.test", i, j), "/"))
		}
		items = append(items, s.ingressJSON(fmt.Sprintf("h%d", i), rules))
	}
	s.put(fmt.Sprintf("tenant-%d.json", file), `{"apiVersion":"v1","kind":"List","items":[`+strings.Join(items, ",")+"]}")
}

func ruleJSON(host, path string) string {
	return fmt.Sprintf(`{"host":%q,"http":{"paths":[{"path":%q,"pathType":"Prefix","backend":{"service":{"name":"app","port":{"number":80}}}}]}}`, host, path)
}

func (s *scene) ingressJSON(name string, rules []string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":%q,"namespace":%q},"spec":{"ingressClassName":%q,"rules":[%s]}}`,
		name, s.namespace, s.class, strings.Join(rules, ","))
}

// put writes a file of the folder whole.
func (s *scene) put(name, text string) {
	s.t.Helper()
	whole := filepath.Join(s.logs, name)
	if err := os.WriteFile(whole, []byte(text), 0o600); err != nil {
		s.t.Error(err)
	}
	if err := os.Rename(whole, filepath.Join(s.folder, name)); err != nil {
		s.t.Error(err)
	}
}

// askOthers asks for app.test 100 times a second until end is called, which says how long the answers took.
func (s *scene) askOthers(u *usher) (end func(when string)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	took := make(chan []time.Duration, 1)
	go func() {
		var all []time.Duration
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			began := time.Now()
			if a, err := u.get("http://app.test/"); err != nil || a.String() != "app" {
				s.t.Errorf("others are answered by %v, %v", a, err)
			}
			all = append(all, time.Since(began))
			<-tick.C
		}
		took <- all
	}()
	return func(when string) {
		cancel()
		logQuantiles(s.t, "others' requests "+when, <-took)
	}
}

func logQuantiles(t *testing.T, what string, took []time.Duration) {
	slices.Sort(took)
	t.Logf("%s: %d, p50 %v, p99 %v, at most %v", what, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}
