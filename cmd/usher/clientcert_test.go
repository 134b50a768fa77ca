//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	testcluster "github.com/usher-ingress/usher/e2e/cluster"
)

// mutual is a folder with hosts that want client certificates and one that does not, and Usher that serves it.
type mutual struct {
	*process
	t         *testing.T
	folder    string
	port      int
	authority *testcluster.Authority
	jane      testcluster.KeyPair
}

// newMutual serves strict.test (on), loose.test (optional) and open.test, each with paths that show what reaches the application.
func newMutual(t *testing.T) *mutual {
	t.Helper()
	m := &mutual{t: t, folder: t.TempDir(), authority: newAuthority(t)}
	m.jane = m.client(m.authority, "jane")
	m.port = backend(t, func(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) })
	write(t, m.folder, "ca.yaml", secretOf("ca", map[string][]byte{"ca.crt": m.authority.PEM()}))
	write(t, m.folder, "strict.yaml", site("app", m.port))
	m.add("strict.test", `{nginx.ingress.kubernetes.io/auth-tls-secret: default/ca, nginx.ingress.kubernetes.io/auth-tls-pass-certificate-to-upstream: "true"}`)
	m.add("loose.test", `{usher.dev/auth-tls-secret: default/ca, usher.dev/auth-tls-verify-client: optional}`)
	m.add("named.test", `{usher.dev/auth-tls-secret: default/ca, usher.dev/auth-tls-match-cn: "CN=(joe|jim)$"}`)
	m.add("page.test", `{usher.dev/auth-tls-secret: default/ca, usher.dev/auth-tls-error-page: "https://help.test/certificates"}`)
	m.add("broken.test", `{usher.dev/auth-tls-secret: default/nowhere}`)
	m.add("open.test", `{}`)
	m.process = serve(t, "--manifests", m.folder)
	return m
}

// add writes an Ingress for a host.
func (m *mutual) add(host, annotations string) {
	_, ingress, _ := strings.Cut(site("app", m.port), "---\n")
	ingress, _, _ = strings.Cut(ingress, "---\n")
	write(m.t, m.folder, host+".yaml", strings.NewReplacer("name: site\n", "name: "+host+"\n", "site.test", host, "annotations: {}", "annotations: "+annotations).Replace(ingress))
}

func newAuthority(t *testing.T) *testcluster.Authority {
	t.Helper()
	a, err := testcluster.NewAuthority("clients")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (m *mutual) client(by *testcluster.Authority, name string) testcluster.KeyPair {
	m.t.Helper()
	pair, err := by.Client(name, "Example, Inc.")
	if err != nil {
		m.t.Fatal(err)
	}
	return pair
}

func secretOf(name string, data map[string][]byte) string {
	text := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: default}\nstringData:\n", name)
	for field, value := range data {
		text += fmt.Sprintf("  %s: |\n    %s\n", field, strings.ReplaceAll(strings.TrimSpace(string(value)), "\n", "\n    "))
	}
	return text
}

// transport connects to Usher and shows a certificate, if it has one, whatever CAs are asked for.
func (m *mutual) transport(h2 bool, shown ...testcluster.KeyPair) *http.Transport {
	m.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(8)} //nolint:gosec // whose certificate it is, is not the question
	if len(shown) > 0 {
		pair, err := tls.X509KeyPair(shown[0].Cert, shown[0].Key)
		if err != nil {
			m.t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	tr := &http.Transport{TLSClientConfig: config, Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", m.https)
	}}
	m.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// ask sends a request for host on a connection to server; fields are "Name: value".
func (m *mutual) ask(tr *http.Transport, server, host string, fields ...string) (int, http.Header, string) {
	m.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://"+server+"/", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Host = host
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header[name] = []string{value}
	}
	return m.do(tr, r)
}

func (m *mutual) wants(what string, status int, reason string, answer func() (int, http.Header, string)) string {
	m.t.Helper()
	got, header, body := answer()
	if got != status || header.Get("X-Usher-Reason") != reason {
		m.t.Errorf("%s: %d %q %s, want %d %q", what, got, header.Get("X-Usher-Reason"), body, status, reason)
	}
	return body
}

// TestClientCertificates is what clients see, over both versions of HTTP.
func TestClientCertificates(t *testing.T) {
	m := newMutual(t)
	stranger := m.client(newAuthority(t), "jane")
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			none, jane, other := m.transport(h2), m.transport(h2, m.jane), m.transport(h2, stranger)
			for _, c := range []struct {
				host           string
				none, us, them string // "status reason"
			}{
				{"strict.test", "400 no-client-certificate", "200 ", "400 bad-client-certificate"},
				{"loose.test", "200 ", "200 ", "400 bad-client-certificate"},
				{"named.test", "400 no-client-certificate", "403 client-certificate-denied", "400 bad-client-certificate"},
				{"page.test", "302 no-client-certificate", "200 ", "302 bad-client-certificate"},
				{"broken.test", "503 client-ca-unavailable", "503 client-ca-unavailable", "503 client-ca-unavailable"},
				{"open.test", "200 ", "200 ", "200 "},
			} {
				for client, want := range map[*http.Transport]string{none: c.none, jane: c.us, other: c.them} {
					status, header, _ := m.ask(client, c.host, c.host)
					if got := fmt.Sprintf("%d %s", status, header.Get("X-Usher-Reason")); got != want {
						t.Errorf("%s: got %s, want %s", c.host, got, want)
					}
				}
			}
			if _, header, _ := m.ask(none, "page.test", "page.test"); header.Get("Location") != "https://help.test/certificates" {
				t.Errorf("error page: %v", header)
			}
			for client, want := range map[*http.Transport]string{none: "No required SSL certificate was sent", other: "The SSL certificate error"} {
				if _, _, body := m.ask(client, "strict.test", "strict.test"); !strings.Contains(body, want) {
					t.Errorf("want %q in %s", want, body)
				}
			}
		})
	}
	m.wants("plain HTTP has no certificate", 400, "no-client-certificate", func() (int, http.Header, string) { return m.get("strict.test", "/") })
	m.wants("plain HTTP of a host that wants none", 200, "", func() (int, http.Header, string) { return m.get("open.test", "/") })
}

// TestClientCertificatesUpstream: the application is told by Usher, and never by the client.
func TestClientCertificatesUpstream(t *testing.T) {
	m := newMutual(t)
	forged := []string{"Ssl-Client-Verify: SUCCESS", "Ssl-Client-Subject-Dn: CN=root", "Ssl-Client-Issuer-Dn: CN=root", "Ssl-Client-Cert: forged", "Ssl_Client_Verify: SUCCESS"}
	for _, h2 := range []bool{false, true} {
		_, _, body := m.ask(m.transport(h2, m.jane), "strict.test", "strict.test", forged...)
		for _, want := range []string{"Ssl-Client-Verify: SUCCESS\r\n", "Ssl-Client-Subject-Dn: CN=jane,O=Example\\, Inc.\r\n", "Ssl-Client-Issuer-Dn: CN=clients\r\n",
			"Ssl-Client-Cert: " + strings.ReplaceAll(url.QueryEscape(string(m.jane.Cert)), "+", "%20") + "\r\n"} {
			if !strings.Contains(body, want) {
				t.Errorf("want %q in\n%s", want, body)
			}
		}
		if strings.Contains(body, "root") || strings.Contains(body, "forged") || strings.Count(body, "SUCCESS") != 1 {
			t.Errorf("forged fields came through:\n%s", body)
		}
		_, _, body = m.ask(m.transport(h2), "loose.test", "loose.test", forged...)
		if !strings.Contains(body, "Ssl-Client-Verify: NONE\r\n") || strings.Count(body, "Ssl") != 1 {
			t.Errorf("without a certificate:\n%s", body)
		}
		if _, _, body = m.ask(m.transport(h2), "open.test", "open.test", forged...); strings.Contains(body, "Ssl") {
			t.Errorf("where nobody asks:\n%s", body)
		}
	}
}

// TestClientCertificatesStayWithTheirHost: no connection and no session that was made for one host opens another.
func TestClientCertificatesStayWithTheirHost(t *testing.T) {
	m := newMutual(t)
	for _, h2 := range []bool{false, true} {
		jane := m.transport(h2, m.jane)
		for server, want := range map[string]string{"open.test": "421 misdirected", "loose.test": "421 misdirected", "strict.test": "200 "} {
			for range 2 { // the second time on the same connection
				status, header, _ := m.ask(jane, server, "strict.test")
				if got := fmt.Sprintf("%d %s", status, header.Get("X-Usher-Reason")); got != want {
					t.Errorf("strict.test on a connection to %s: got %s, want %s", server, got, want)
				}
			}
			m.wants("open.test on a connection to "+server, 200, "", func() (int, http.Header, string) { return m.ask(jane, server, "open.test") })
		}
	}
	m.noName(t)
}

// noName asks without a server name, and with a certificate: the handshake did not ask for it, so there is none.
func (m *mutual) noName(t *testing.T) {
	tr := m.transport(false, m.jane)
	m.wants("no server name", 400, "no-client-certificate", func() (int, http.Header, string) { return m.ask(tr, "127.0.0.1", "strict.test") })
}

// TestClientCertificatesResume: a resumed session is judged like the first, and is not resumed without a certificate.
func TestClientCertificatesResume(t *testing.T) {
	m := newMutual(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		jane, none := m.transport(false, m.jane), m.transport(false)
		for _, c := range []struct {
			tr      *http.Transport
			status  int
			resumed bool
		}{{jane, 200, true}, {none, 400, false}} {
			c.tr.TLSClientConfig.MaxVersion = version
			var resumed []bool
			c.tr.TLSClientConfig.VerifyConnection = func(state tls.ConnectionState) error {
				resumed = append(resumed, state.DidResume)
				return nil
			}
			for range 2 {
				if status, _, body := m.ask(c.tr, "strict.test", "strict.test"); status != c.status {
					t.Errorf("got %d %s, want %d", status, body, c.status)
				}
				c.tr.CloseIdleConnections()
			}
			if len(resumed) != 2 || resumed[0] || resumed[1] != c.resumed {
				t.Errorf("%s, %d: resumed %v", tls.VersionName(version), c.status, resumed)
			}
		}
	}
}

// TestClientCertificatesReload: a changed bundle counts from the next request, on connections and sessions from before too, and drops
// none of them.
func TestClientCertificatesReload(t *testing.T) {
	m := newMutual(t)
	next := newAuthority(t)
	old, fresh := m.transport(true, m.jane), m.transport(true, m.client(next, "jane"))
	var handshakes int
	old.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { handshakes++; return nil }
	m.wants("before", 200, "", func() (int, http.Header, string) { return m.ask(old, "strict.test", "strict.test") })

	write(t, m.folder, "ca.yaml", secretOf("ca", map[string][]byte{"ca.crt": append(m.authority.PEM(), next.PEM()...)}))
	m.eventually("the new CA", func() bool { status, _, _ := m.ask(fresh, "strict.test", "strict.test"); return status == 200 })
	m.wants("with both", 200, "", func() (int, http.Header, string) { return m.ask(old, "strict.test", "strict.test") })

	write(t, m.folder, "ca.yaml", secretOf("ca", map[string][]byte{"ca.crt": next.PEM()}))
	m.eventually("the old CA to be gone", func() bool { status, _, _ := m.ask(old, "strict.test", "strict.test"); return status == 400 })
	if handshakes != 1 {
		t.Errorf("%d handshakes, want the one connection to stay", handshakes)
	}
	old.CloseIdleConnections()
	m.wants("a new connection", 400, "bad-client-certificate", func() (int, http.Header, string) { return m.ask(old, "strict.test", "strict.test") })
	m.wants("the new CA alone", 200, "", func() (int, http.Header, string) { return m.ask(fresh, "strict.test", "strict.test") })
}

// TestHandshakeAsksFor: a client is told the CAs that count, and only where they do.
func TestHandshakeAsksFor(t *testing.T) {
	m := newMutual(t)
	block, _ := pem.Decode(m.authority.PEM())
	for host, want := range map[string]bool{"strict.test": true, "loose.test": true, "open.test": false, "broken.test": false} {
		asked := false
		config := &tls.Config{InsecureSkipVerify: true, ServerName: host} //nolint:gosec // whose certificate it is, is not the question
		config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = len(info.AcceptableCAs) == 1 && strings.Contains(string(block.Bytes), string(info.AcceptableCAs[0]))
			return &tls.Certificate{}, nil
		}
		conn, err := tls.Dial("tcp", m.https, config)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "\r\n")
		_ = conn.Close()
		if asked != want {
			t.Errorf("%s: asked %v, want %v", host, asked, want)
		}
	}
}
