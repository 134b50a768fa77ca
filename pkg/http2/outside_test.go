package http2

import (
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// Clients that others wrote, where they are installed: curl, nghttp2-client, and as a judge of every frame
// go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
func TestOtherClients(t *testing.T) {
	address := serve(t, &Server{Handler: http.HandlerFunc(quick)})
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want    string
		command []string
	}{
		{"ok 2", []string{"curl", "-sk", "--http2", "-w", " %{http_version}", "https://" + address + "/"}},
		{"ok 2", []string{"curl", "-sk", "--http2", "-w", " %{http_version}", "-d", strings.Repeat("x", 100_000), "https://" + address + "/"}},
		{":status: 200", []string{"nghttp", "-nv", "-m", "20", "https://" + address + "/"}},
		{" 2000 2xx", []string{"h2load", "-n", "2000", "-c", "4", "-m", "32", "https://" + address + "/"}},
		{" 0 failed", []string{"h2spec", "-h", host, "-p", port, "-t", "-k", "-S", "-o", "10"}},
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
