package http2

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// Clients that others wrote, where they are installed.
func TestOtherClients(t *testing.T) {
	address := serve(t, &Server{Handler: http.HandlerFunc(quick)})
	for _, c := range []struct {
		want    string
		command []string
	}{
		{"ok 2", []string{"curl", "-sk", "--http2", "-w", " %{http_version}", "https://" + address + "/"}},
		{"ok 2", []string{"curl", "-sk", "--http2", "-w", " %{http_version}", "-d", strings.Repeat("x", 100_000), "https://" + address + "/"}},
		{":status: 200", []string{"nghttp", "-nv", "-m", "20", "https://" + address + "/"}},
		{" 2000 2xx", []string{"h2load", "-n", "2000", "-c", "4", "-m", "32", "https://" + address + "/"}},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			if _, err := exec.LookPath(c.command[0]); err != nil {
				t.Skip(c.command[0] + " is not installed")
			}
			out, err := exec.Command(c.command[0], c.command[1:]...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
