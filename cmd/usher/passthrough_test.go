package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
)

// A host with ssl-passthrough shows its application's certificate, beside one whose TLS ends at Usher, on one port; the application
// learns the client's address by PROXY protocol.
func TestServePassthrough(t *testing.T) {
	folder := t.TempDir()
	vault := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "vault for %s at %s", r.RemoteAddr, r.Host)
	}))
	vault.Listener = &proxyproto.Listener{Listener: vault.Listener}
	vault.StartTLS()
	t.Cleanup(vault.Close)
	port := vault.Listener.Addr().(*net.TCPAddr).Port

	write(t, folder, "site.yaml", site("web", backend(t, says("one"))))
	passed := strings.NewReplacer("name: site\n", "name: vault\n", "site.test", "vault.test",
		"annotations: {}", `annotations: {nginx.ingress.kubernetes.io/ssl-passthrough: "true", usher.dev/ssl-passthrough-proxy-protocol: "true"}`).Replace(site("vault", port))
	_, passed, _ = strings.Cut(passed, "---\n") // the class is there
	write(t, folder, "vault.yaml", passed)
	p := serve(t, "--manifests", folder, "--enable-ssl-passthrough")

	var local string
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // whose certificate it is, is the question
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.https)
		if err == nil {
			local = conn.LocalAddr().String()
		}
		return conn, err
	}
	defer transport.CloseIdleConnections()
	for _, host := range []string{"vault.test", "site.test"} {
		r, _ := http.NewRequest(http.MethodGet, "https://"+host+"/", nil)
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		want := "one"
		if host == "vault.test" {
			want = "vault for " + local + " at vault.test"
		}
		if string(text) != want {
			t.Errorf("%s: got %q, want %q", host, text, want)
		}
		if whose := answer.TLS.PeerCertificates[0].Subject.String(); (host == "vault.test") != strings.Contains(whose, "Acme Co") {
			t.Errorf("%s shows the certificate of %s", host, whose)
		}
	}
	if status, header, _ := p.get("vault.test", "/ui"); status != 308 || header.Get("Location") != "https://vault.test/ui" {
		t.Errorf("plain HTTP: %d, %v", status, header)
	}
	if code, out, _ := usher("explain", "--admin", p.admin, "https://vault.test/x"); code != exitOK || !strings.Contains(out, "forwarded to default/vault") || !strings.Contains(out, "ssl-passthrough") {
		t.Errorf("explain: %d %s", code, out)
	}
	transport.CloseIdleConnections()
	p.eventually("the access log", func() bool {
		return strings.Contains(p.out.String(), `"scheme":"passthrough","host":"vault.test"`)
	})

	// An application that is gone: the connection is closed, and counted with the reason.
	write(t, folder, "vault.yaml", strings.Replace(passed, "endpoints: [{", "endpoints: [{conditions: {ready: false, serving: false}, ", 1))
	p.eventually("no endpoint", func() bool {
		conn, err := tls.Dial("tcp", p.https, &tls.Config{InsecureSkipVerify: true, ServerName: "vault.test"}) //nolint:gosec // as above
		if err == nil {
			return conn.Close() != nil
		}
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.admin+"/metrics", nil)
		_, _, metrics := p.do(http.DefaultTransport, r)
		return strings.Contains(metrics, `usher_streams_total{kind="passthrough",reason="no-ready-endpoints"}`)
	})
}
