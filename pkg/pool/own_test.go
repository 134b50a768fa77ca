package pool

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/usher-ingress/usher/pkg/egress"
)

// TestOwnPortsAreNotDialled: also at an address that no interface has, which shows only once there is a connection.
func TestOwnPortsAreNotDialled(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own := l.Addr().(*net.TCPAddr).AddrPort()
	p := New(Options{AllowLoopback: true, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
		Own: func() egress.Listeners { return egress.Listeners{Bound: []netip.AddrPort{own}} }})
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		prefix := netip.MustParsePrefix(a.String())
		if prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		to := netip.AddrPortFrom(prefix.Addr(), own.Port())
		if _, err := p.dialer.dial(t.Context(), to); !errors.Is(err, errDenied) {
			t.Errorf("%s: %v", to, err)
		}
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := p.dialer.dial(t.Context(), other.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatalf("a port beside ours: %v", err)
	}
	_ = conn.Close()
}
