//go:build e2e

package e2e

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tool is a program of others; the test is skipped where it is not installed.
// .ci/run installs them all.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// scan is what sslscan finds out.
type scan struct {
	Test struct {
		Protocols []struct {
			Type    string `xml:"type,attr"`
			Version string `xml:"version,attr"`
			Enabled string `xml:"enabled,attr"`
		} `xml:"protocol"`
		Renegotiation struct {
			Supported string `xml:"supported,attr"`
		} `xml:"renegotiation"`
		Compression struct {
			Supported string `xml:"supported,attr"`
		} `xml:"compression"`
		Heartbleed []struct {
			Vulnerable string `xml:"vulnerable,attr"`
		} `xml:"heartbleed"`
		Ciphers []struct {
			Version string `xml:"sslversion,attr"`
			Name    string `xml:"cipher,attr"`
		} `xml:"cipher"`
	} `xml:"ssltest"`
}

// protocols are those that are on.
func (s *scan) protocols() (on []string) {
	for _, p := range s.Test.Protocols {
		if p.Enabled == "1" {
			on = append(on, p.Type+p.Version)
		}
	}
	return on
}

func (u *usher) scan(host string) *scan {
	u.t.Helper()
	out, err := exec.CommandContext(u.t.Context(), tool(u.t, "sslscan"), "--xml=-", "--no-colour", "--show-ciphers", "--sni-name="+host, u.address+":443").CombinedOutput()
	if err != nil {
		u.t.Fatalf("sslscan: %v\n%s", err, out)
	}
	found := &scan{}
	if err := xml.Unmarshal(out, found); err != nil {
		u.t.Fatalf("sslscan: %v in\n%s", err, out)
	}
	return found
}

// newTLSHosts is a scene with a host of default settings, and one with TLS 1.3
// alone, under the internal CA.
func newTLSHosts(t *testing.T) *usher {
	t.Helper()
	s := folderScene(t)
	s.acme = t.TempDir()
	s.backend("web")
	s.asksACME("usual.example")
	s.ingress("strict", `
tls: [{hosts: [strict.example], secretName: strict}]
rules: [{host: strict.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`, `usher.dev/acme: "true"`, `usher.dev/ssl-protocols: TLSv1.3`)
	u := s.usher("--acme-ca", "internal")
	for _, host := range []string{"usual.example", "strict.example"} {
		await(t, func() error {
			if shown := read(t, u.admin+"/debug/certificates"); !strings.Contains(shown, host) {
				return fmt.Errorf("no certificate of %s in\n%s", host, shown)
			}
			return nil
		})
	}
	return u
}

// TestSSLScan: TLS 1.2 and 1.3 only, with forward secrecy and AEAD, and none of
// the old holes; a host may be stricter than its neighbours.
func TestSSLScan(t *testing.T) {
	tool(t, "sslscan")
	u := newTLSHosts(t)
	usual := u.scan("usual.example")
	if on := usual.protocols(); !slices.Equal(on, []string{"tls1.2", "tls1.3"}) {
		t.Errorf("protocols %v, want TLS 1.2 and 1.3", on)
	}
	for _, c := range usual.Test.Ciphers {
		if c.Version == "TLSv1.2" && (!strings.HasPrefix(c.Name, "ECDHE-") || !strings.Contains(c.Name, "GCM") && !strings.Contains(c.Name, "CHACHA20")) {
			t.Errorf("TLS 1.2 with %s", c.Name)
		}
	}
	if len(usual.Test.Ciphers) < 6 {
		t.Errorf("only these cipher suites: %v", usual.Test.Ciphers)
	}
	if usual.Test.Renegotiation.Supported == "1" || usual.Test.Compression.Supported == "1" {
		t.Errorf("renegotiation %+v, compression %+v; want none", usual.Test.Renegotiation, usual.Test.Compression)
	}
	for _, h := range usual.Test.Heartbleed {
		if h.Vulnerable != "0" {
			t.Error("vulnerable to Heartbleed")
		}
	}
	if on := u.scan("strict.example").protocols(); !slices.Equal(on, []string{"tls1.3"}) {
		t.Errorf("protocols of the strict host %v, want TLS 1.3", on)
	}
}

// TestOpenSSL has openssl s_client as the client.
func TestOpenSSL(t *testing.T) {
	openssl := tool(t, "openssl")
	u := newTLSHosts(t)
	root := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(root, []byte(read(t, u.admin+"/debug/ca")), 0o600); err != nil {
		t.Fatal(err)
	}
	client := func(host string, options ...string) string {
		arguments := append([]string{"s_client", "-connect", u.address + ":443", "-servername", host, "-CAfile", root, "-verify_return_error", "-ign_eof"}, options...)
		cmd := exec.CommandContext(t.Context(), openssl, arguments...)
		cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		out, _ := cmd.CombinedOutput() // its exit status says less than its text
		return string(out)
	}
	session := filepath.Join(t.TempDir(), "session.pem")
	for _, c := range []struct {
		what, host string
		options    []string
		want       string
	}{
		{"TLS 1.3", "usual.example", []string{"-tls1_3", "-sess_out", session}, "New, TLSv1.3"},
		{"TLS 1.3 resumed", "usual.example", []string{"-tls1_3", "-sess_in", session}, "Reused, TLSv1.3"},
		{"a session of another host", "strict.example", []string{"-tls1_3", "-sess_in", session}, "New, TLSv1.3"},
		{"TLS 1.2", "usual.example", []string{"-tls1_2", "-sess_out", session}, "New, TLSv1.2"},
		{"TLS 1.2 resumed", "usual.example", []string{"-tls1_2", "-sess_in", session}, "Reused, TLSv1.2"},
		{"its certificate", "usual.example", []string{"-verify_hostname", "usual.example"}, "Verify return code: 0 (ok)"},
		{"an answer", "usual.example", nil, "HTTP/1.1 200 OK"},
		{"HTTP/2", "usual.example", []string{"-alpn", "h2"}, "ALPN protocol: h2"},
		{"TLS 1.2 with CBC", "usual.example", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"}, "handshake failure"},
		{"TLS 1.1", "usual.example", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, "alert protocol version"},
		{"TLS 1.2 of a host with 1.3 only", "strict.example", []string{"-tls1_2"}, "alert protocol version"},
	} {
		if said := client(c.host, c.options...); !strings.Contains(said, c.want) {
			t.Errorf("%s: want %q in\n%s", c.what, c.want, said)
		}
	}
	if groupIsKnown(t, openssl, "X25519MLKEM768") {
		if said := client("usual.example", "-groups", "X25519MLKEM768"); !strings.Contains(said, "New, TLSv1.3") {
			t.Errorf("post-quantum key exchange:\n%s", said)
		}
	}
}

// groupIsKnown reports whether this OpenSSL has a key exchange; those before 3.5
// have no post-quantum ones, and Go's own client shows them in pkg/certs.
func groupIsKnown(t *testing.T, openssl, name string) bool {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), openssl, "list", "-tls-groups").CombinedOutput()
	return strings.Contains(string(out), name)
}
