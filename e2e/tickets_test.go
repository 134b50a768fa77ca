//go:build e2e

package e2e

import (
	"crypto/tls"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSessionTickets has a client whose every connection comes to another
// replica: its session is resumed all the same.
func TestSessionTickets(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "tickets.example", "/", "web")
	one, two := s.usher(), s.usher()
	one.expect("http://tickets.example/", "web")
	two.expect("http://tickets.example/", "web")

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		await(t, func() error { // until both have read the keys
			config := &tls.Config{InsecureSkipVerify: true, ServerName: "tickets.example", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			if _, err := one.handshake(config); err != nil {
				return err
			}
			for range 2 {
				for _, u := range []*usher{two, one} {
					if resumed, err := u.handshake(config); err != nil || !resumed {
						return errors.Join(errors.New("not resumed at "+u.address), err)
					}
				}
			}
			return nil
		})
	}
	secret, err := s.client.CoreV1().Secrets(s.system).Get(t.Context(), "usher-session-tickets", metav1.GetOptions{})
	if err != nil || len(secret.Data) != 1 {
		t.Errorf("the Secret has %d keys, %v; want 1", len(secret.Data), err)
	}
}

// handshake makes a connection with one request, and reports whether it resumed a
// session.
func (u *usher) handshake(config *tls.Config) (resumed bool, err error) {
	conn, err := tls.Dial("tcp", u.address+":443", config)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: tickets.example\r\n\r\n")); err != nil {
		return false, err
	}
	_, err = conn.Read(make([]byte, 1)) // with the answer comes the ticket
	return conn.ConnectionState().DidResume, err
}
