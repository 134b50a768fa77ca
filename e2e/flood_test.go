//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"os"
	"strconv"
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
	n := replicas.Add(1)
	u := &usher{t: t, name: fmt.Sprintf("usher-%d", n), address: replicaAddress(n), admin: fmt.Sprintf("http://127.0.0.1:%d", 20000+n)}
	u.client = u.newClient(nil)
	cmd := usherCommand(append(append([]string{"serve"}, s.flags()...), "--bind-address", u.address, "--http-port", "80", "--https-port", "443",
		"--admin-port", strconv.Itoa(int(20000+n)), "--shutdown-grace-period", "2", "--access-log=false")...)
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
