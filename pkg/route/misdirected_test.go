package route

import (
	"crypto/tls"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
)

// TestMisdirected: a connection is good for another host only if that one's handshakes are the same.
func TestMisdirected(t *testing.T) {
	strict := policy.DefaultTLS()
	strict.Min = tls.VersionTLS13
	wants := &ClientAuth{Policy: &policy.ClientCert{Verify: policy.VerifyOn}}
	hosts := NewHosts([]*Host{
		{Name: "plain.test"}, {Name: "also-plain.test"}, {Name: "strict.test", Handshake: &strict},
		{Name: "*.wild.test"}, {Name: "asks.test", ClientAuth: wants},
	})
	table := &Table{Hosts: hosts}
	for _, c := range []struct {
		server, asked string
		want          bool
	}{
		{"plain.test", "plain.test", false},
		{"plain.test", "also-plain.test", false},
		{"strict.test", "strict.test", false},
		{"plain.test", "strict.test", true},
		{"strict.test", "plain.test", true},
		{"", "strict.test", true},
		{"", "plain.test", false},
		{"unknown.test", "strict.test", true},
		{"a.wild.test", "b.wild.test", false},
		{"a.wild.test", "strict.test", true},
		{"plain.test", "asks.test", true},
		{"asks.test", "plain.test", false},
		{"", "asks.test", false},
		{"strict.test", "unknown.test", false},
	} {
		if got := table.Misdirected(c.server, c.asked, table.Lookup(Query{Host: c.asked, Path: "/"})); got != c.want {
			t.Errorf("handshake for %q, request for %q: misdirected %t, want %t", c.server, c.asked, got, c.want)
		}
	}
}
