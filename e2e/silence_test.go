//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestDroppedPacketsShow: a firewall that drops what goes to the API server and comes from it, with open connections and all, shows in
// the metric within a minute and in the log; what was read goes on being served, and all is well when the rule is gone.
func TestDroppedPacketsShow(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "silent.example", "/", "web")
	u := s.usher()
	u.expect("http://silent.example/", "web")
	u.awaitMetric("usher_api_server_connected", 1)

	nft(t, "table inet usher_e2e {\nchain out {\ntype filter hook output priority 0\ntcp dport 6443 drop\ntcp sport 6443 drop\n}\n}\n")
	cut := time.Now()
	allow := func() { nft(t, "add table inet usher_e2e\ndelete table inet usher_e2e\n") }
	t.Cleanup(allow)
	awaitFor(t, time.Minute, func() error {
		connected, err := u.metric("usher_api_server_connected")
		if err == nil && connected != 0 {
			err = fmt.Errorf("usher_api_server_connected is %v", connected)
		}
		return err
	})
	t.Logf("0 after %.1f s", time.Since(cut).Seconds())
	if log := u.process.Log(); !strings.Contains(log, "the API server does not answer") && !strings.Contains(log, "the API server cannot be read") {
		t.Error("no log line says it")
	}
	u.expect("http://silent.example/", "web")
	allow()
	awaitFor(t, 2*time.Minute, func() error {
		connected, err := u.metric("usher_api_server_connected")
		if err == nil && connected != 1 {
			err = fmt.Errorf("usher_api_server_connected is %v", connected)
		}
		return err
	})
	s.route("later", "silent.example", "/later", "web")
	u.expect("http://silent.example/later", "web")
}

// nft gives nftables a text; the tests have a network namespace of their own.
func nft(t *testing.T, text string) {
	t.Helper()
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(text)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}
