package server

import (
	"os/exec"
	"strings"
	"testing"
)

// run gives the output of a program that is not ours, whose idea of the protocol is not ours either.
func run(t *testing.T, input string, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed", command[0])
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, _ := cmd.CombinedOutput() // a failed handshake is a failed command, and that may be what is wanted
	return string(out)
}

func TestCurl(t *testing.T) {
	s := start(t, tell)
	if help := run(t, "", "curl", "--version"); !strings.Contains(help, "HTTP2") {
		t.Skip("this curl has no HTTP/2")
	}
	for flag, want := range map[string]string{"--http1.1": "HTTP/1.1 tls=", "--http2": "HTTP/2.0 tls="} {
		if got := run(t, "", "curl", "-sk", flag, "https://"+s.https+"/"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q", flag, got)
		}
	}
}

func TestOpenSSL(t *testing.T) {
	s := start(t, tell)
	connect := func(more ...string) string {
		return run(t, "", append([]string{"openssl", "s_client", "-connect", s.https, "-servername", "shop.example.com"}, more...)...)
	}
	if out := connect("-alpn", "h2,http/1.1"); !strings.Contains(out, "ALPN protocol: h2") || !strings.Contains(out, "TLSv1.3") {
		t.Errorf("no h2 over TLS 1.3:\n%s", out)
	}
	if out := connect("-tls1_2"); !strings.Contains(out, "TLSv1.2") {
		t.Errorf("no TLS 1.2:\n%s", out)
	}
	if out := connect("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"); !strings.Contains(out, "Cipher is (NONE)") {
		t.Errorf("TLS 1.1 was accepted:\n%s", out)
	}
	if strings.Contains(run(t, "", "openssl", "list", "-kem-algorithms"), "X25519MLKEM768") {
		if out := connect("-groups", "X25519MLKEM768"); !strings.Contains(out, "X25519MLKEM768") {
			t.Errorf("no post-quantum key exchange:\n%s", out)
		}
	}
}
