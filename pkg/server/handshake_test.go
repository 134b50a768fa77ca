package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Every way in which a handshake ends, by clients that do it for real.
func TestHandshakeCauses(t *testing.T) {
	shake := func(config *tls.Config) func(*testing.T, net.Conn) {
		return func(_ *testing.T, conn net.Conn) { _ = tls.Client(conn, config).Handshake() }
	}
	write := func(bytes string) func(*testing.T, net.Conn) {
		return func(t *testing.T, conn net.Conn) {
			if _, err := io.WriteString(conn, bytes); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	refuse := func([][]byte, [][]*x509.Certificate) error { return errors.New("no") }
	cases := []struct {
		want   string
		client func(*testing.T, net.Conn)
	}{
		{"ok", shake(&tls.Config{InsecureSkipVerify: true})},
		{"ok", shake(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})},
		{"unsupported-version", shake(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})},
		{"no-common-protocol", shake(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"imap"}})},
		{"no-common-cipher", shake(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}})},
		{"certificate-refused", shake(&tls.Config{ServerName: "shop.example.com"})},
		{"certificate-refused", shake(&tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: refuse})},
		{"client-alert", write("\x15\x03\x01\x00\x02\x02\x50")},
		{"client-left", func(_ *testing.T, conn net.Conn) { conn.Close() }},
		{"client-left", func(_ *testing.T, conn net.Conn) { conn.(*net.TCPConn).SetLinger(0); conn.Close() }},
		{"client-left", func(_ *testing.T, conn net.Conn) { io.WriteString(conn, "\x16\x03\x01\x02\x00\x01"); conn.Close() }},
		{"not-tls", write("SSH-2.0-OpenSSH_9.6\r\n")},
		{"not-tls", write("GET / HTTP/1.1\r\n\r\n")},
		{"malformed", write("\x16\x03\x01\x00\x04\x07\x00\x00\x00")},
		{"timeout", write("")},
		{"timeout", write("\x16\x03\x01")},
	}
	patient, impatient := start(t, tell), start(t, tell, func(o *Options) { o.Limits.Handshake = 50 * time.Millisecond })
	for _, c := range cases {
		s := patient
		if c.want == "timeout" {
			s = impatient
		}
		conn, err := net.Dial("tcp", s.https)
		if err != nil {
			t.Fatal(err)
		}
		c.client(t, conn)
		if got := <-s.events.handshakes; got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		conn.Close()
	}
	if patient.logs.Len()+impatient.logs.Len() > 0 {
		t.Errorf("handshakes must not fill the log: %v", patient.logs.All())
	}
}

func TestPlainHTTPToTheTLSPortIsTold(t *testing.T) {
	s := start(t, tell)
	resp, body := get(t, client(t), "http://"+s.https)
	if resp.StatusCode != 400 || !strings.Contains(body, "HTTPS") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

// A client that is slow in its handshake delays nobody.
func TestSlowHandshakeIsAlone(t *testing.T) {
	s := start(t, tell)
	for range 20 {
		conn, err := net.Dial("tcp", s.https)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if _, got := get(t, client(t), "https://"+s.https); !strings.HasPrefix(got, "HTTP/2.0") {
		t.Errorf("got %q", got)
	}
}
