//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// TestMisdirectedRequests: what a host demands of handshakes cannot be had past on a connection that was made for another host, by
// HTTP/1.1 or HTTP/2, nor on a resumed session, nor without a server name.
func TestMisdirectedRequests(t *testing.T) {
	s := folderScene(t)
	s.backend("web")
	s.ingress("plain", hostRule("plain.example", "web"))
	s.ingress("strict", hostRule("strict.example", "web"), `usher.dev/ssl-protocols: "TLSv1.3"`)
	u := s.usher()

	for _, c := range []struct {
		server, host string
		want         int
	}{
		{"plain.example", "plain.example", 200},
		{"strict.example", "strict.example", 200},
		{"plain.example", "strict.example", 421},
		{"strict.example", "plain.example", 421},
		{"", "strict.example", 421},
		{"", "plain.example", 200},
	} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			config := &tls.Config{ServerName: c.server, NextProtos: []string{protocol}, InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)} //nolint:gosec // it is about the request
			for _, resumed := range []bool{false, true} {
				await(t, func() error { return u.asked(config, c.host, c.want) })
				if c.server != "" && resumed {
					await(t, func() error { return u.resumes(config) })
				}
			}
		}
	}
}

func hostRule(host, service string) string {
	return fmt.Sprintf(`
rules: [{host: %s, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}]}}]
`, host, service)
}

// asked sends a request for host on a connection made by config.
func (u *usher) asked(config *tls.Config, host string, want int) error {
	transport := &http.Transport{Protocols: new(http.Protocols), DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		return tls.Dial("tcp", u.address+":443", config)
	}}
	transport.Protocols.SetHTTP1(true)
	transport.Protocols.SetHTTP2(true)
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("https://" + host + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode != want || response.TLS.NegotiatedProtocol != config.NextProtos[0] {
		return fmt.Errorf("handshake for %q, %s, request for %q: %d by %s, want %d",
			config.ServerName, config.NextProtos[0], host, response.StatusCode, response.TLS.NegotiatedProtocol, want)
	}
	return nil
}

// resumes fails unless a connection made by config resumes the session of the one before.
func (u *usher) resumes(config *tls.Config) error {
	conn, err := tls.Dial("tcp", u.address+":443", config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !conn.ConnectionState().DidResume {
		return fmt.Errorf("a connection for %q is not resumed", config.ServerName)
	}
	return nil
}
