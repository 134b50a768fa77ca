//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// TestClientCertificates asks as people do, by curl and openssl: what is answered without a certificate, with a good one and with a
// stranger's, on new connections and resumed sessions; and that a Secret of the cluster decides, which may change.
func TestClientCertificates(t *testing.T) {
	for _, program := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed, and this is about what it sees", program)
		}
	}
	s := newScene(t)
	s.backend("web")
	ours, theirs := newClients(t, "ours"), newClients(t, "theirs")
	s.apply(caSecret("ca", ours.authority))
	s.ingress("strict", `
tls: [{hosts: [strict.example]}]
rules: [{host: strict.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`, "nginx.ingress.kubernetes.io/auth-tls-secret: "+s.namespace+"/ca", `nginx.ingress.kubernetes.io/auth-tls-pass-certificate-to-upstream: "true"`)
	s.route("open", "open.example", "/", "web")
	u := s.usher()

	for _, version := range []string{"--http1.1", "--http2"} {
		for who, want := range map[string]string{"": "400:no-client-certificate", ours.arguments(): "200:", theirs.arguments(): "400:bad-client-certificate"} {
			await(t, func() error { return u.curl(want, version, "strict.example", who) })
		}
		await(t, func() error {
			return u.curl("421:misdirected", version, "open.example", ours.arguments()+" -H Host:strict.example")
		})
		await(t, func() error { return u.curl("200:", version, "open.example", "") })
	}
	t.Run("openssl is asked for the CA, and resumes with what it showed", func(t *testing.T) {
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			session := filepath.Join(t.TempDir(), "session")
			first := u.openssl(t, version+" -sess_out "+session+" "+ours.openssl())
			if !strings.Contains(first, "CN = ours") || !strings.Contains(first, "HTTP/1.1 200") {
				t.Errorf("%s:\n%s", version, first)
			}
			if again := u.openssl(t, version+" -sess_in "+session+" "+ours.openssl()); !strings.Contains(again, "Reused, ") || !strings.Contains(again, "HTTP/1.1 200") {
				t.Errorf("%s, again:\n%s", version, again)
			}
			if bare := u.openssl(t, version); strings.Contains(bare, "Reused, ") || !strings.Contains(bare, "HTTP/1.1 400") {
				t.Errorf("%s, without:\n%s", version, bare)
			}
		}
	})
	t.Run("the Secret changes", func(t *testing.T) {
		s.apply(caSecret("ca", theirs.authority))
		await(t, func() error {
			return u.curl("400:bad-client-certificate", "--http2", "strict.example", ours.arguments())
		})
		await(t, func() error { return u.curl("200:", "--http2", "strict.example", theirs.arguments()) })
		if err := s.client.CoreV1().Secrets(s.namespace).Delete(t.Context(), "ca", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		await(t, func() error {
			return u.curl("503:client-ca-unavailable", "--http2", "strict.example", theirs.arguments())
		})
	})
}

// clients is an authority with a client's certificate by it, in files.
type clients struct {
	authority *cluster.Authority
	cert, key string
}

func newClients(t *testing.T, name string) *clients {
	t.Helper()
	authority, err := cluster.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Client("jane", "")
	if err != nil {
		t.Fatal(err)
	}
	c := &clients{authority, filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")}
	for file, content := range map[string][]byte{c.cert: pair.Cert, c.key: pair.Key} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *clients) arguments() string { return "--cert " + c.cert + " --key " + c.key }
func (c *clients) openssl() string   { return "-cert " + c.cert + " -key " + c.key }

func caSecret(name string, a *cluster.Authority) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s}, stringData: {ca.crt: %q}}", name, a.PEM())
}

// curl returns nil when a host is answered as wanted: "status:reason".
func (u *usher) curl(want, version, host, more string) error {
	arguments := strings.Fields("-sk --noproxy * " + version + " --connect-to ::" + u.address + ":443 -o /dev/null -w %{http_code}:%header{x-usher-reason} " + more + " https://" + host + "/")
	out, err := exec.Command("curl", arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("curl %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	if string(out) != want {
		return fmt.Errorf("%s %s %s is answered %q, want %q", version, host, more, out, want)
	}
	return nil
}

// openssl asks strict.example by openssl s_client and returns all that it prints.
func (u *usher) openssl(t *testing.T, arguments string) string {
	t.Helper()
	cmd := exec.Command("openssl", strings.Fields("s_client -connect "+u.address+":443 -servername strict.example -ign_eof "+arguments)...)
	cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: strict.example\r\nConnection: close\r\n\r\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("openssl %s: %v", arguments, err)
	}
	return string(out)
}
