package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// dialogue sends bytes on a new connection to address and reads one answer of HTTP/1.1.
func dialogue(t *testing.T, address, send string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// The address of a PROXY header reaches all who ask who the client is: the application, the limits, the access log; and its port 443
// makes a plain connection count as HTTPS.
func TestServeProxyProtocol(t *testing.T) {
	folder := t.TempDir()
	tells := backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "for=%s real=%s proto=%s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Real-Ip"), r.Header.Get("X-Forwarded-Proto"))
	})
	write(t, folder, "site.yaml", strings.Replace(site("web", tells), "annotations: {}", `annotations: {usher.dev/limit-rpm: "1", usher.dev/limit-burst-multiplier: "1", usher.dev/force-ssl-redirect: "true"}`, 1))
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: usher}\ndata: {use-proxy-protocol: \"true\", proxy-real-ip-cidr: %s}\n"
	write(t, folder, "config.yaml", fmt.Sprintf(config, "127.0.0.0/8"))
	p := serve(t, "--manifests", folder, "--configmap=usher/config")

	request := "GET / HTTP/1.1\r\nHost: site.test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
	for _, client := range []string{"192.0.2.7", "192.0.2.8"} { // each has one request a minute, and one beyond
		header := "PROXY TCP4 " + client + " 203.0.113.1 51201 443\r\n"
		want := "for=" + client + " real=" + client + " proto=https"
		if status, body := dialogue(t, p.http, header+request); status != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", client, status, body, want)
		}
		dialogue(t, p.http, header+request)
		if status, _ := dialogue(t, p.http, header+request); status != 503 {
			t.Errorf("%s a third time: %d, want 503", client, status)
		}
		p.eventually("the access log", func() bool { return strings.Contains(p.out.String(), `"`+client+`"`) })
	}
	if status, _ := dialogue(t, p.http, "PROXY TCP4 192.0.2.9 203.0.113.1 51201 80\r\n"+request); status != 308 {
		t.Errorf("to port 80: %d, want the redirect to HTTPS", status)
	}
	if status, body := dialogue(t, p.http, request); status != 0 {
		t.Errorf("a trusted peer without a header got %d %q", status, body)
	}

	write(t, folder, "config.yaml", fmt.Sprintf(config, "192.0.2.0/24"))
	p.eventually("another CIDR", func() bool {
		status, _ := dialogue(t, p.http, request)
		return status == 308
	})
	if status, body := dialogue(t, p.http, "PROXY TCP4 192.0.2.7 203.0.113.1 51201 443\r\n"+request); status != 400 || !strings.Contains(body, "PROXY protocol") {
		t.Errorf("the header of a peer that is not trusted got %d %q", status, body)
	}
}
