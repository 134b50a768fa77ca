package egress

import (
	"net/netip"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules Rules
		open  []string
		shut  []string
	}{
		{"as it is", Rules{},
			[]string{"10.0.0.1", "192.168.1.1", "1.1.1.1", "fd00::1", "2606:4700::1111", "100.64.0.1", "::ffff:10.0.0.1"},
			[]string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::",
				"0.1.2.3", "224.0.0.1", "ff02::1", "255.255.255.255", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::"}},
		{"metadata", Rules{Loopback: true}, []string{"127.0.0.1", "::1", "100.100.100.201", "168.63.129.17", "fd00::ec2"},
			[]string{"fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "::ffff:100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.0.23",
				"::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:0:169.254.169.254", "fd00:c1::a9fe:a9fe", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe"}},
		{"the API server", Rules{Deny: prefixes("10.96.0.1/32")}, []string{"10.96.0.2"}, []string{"10.96.0.1", "::ffff:10.96.0.1"}},
		{"opened", Rules{Deny: prefixes("10.0.0.0/8"), Allow: prefixes("10.1.0.0/16", "127.0.0.0/8", "169.254.1.1/32", "fd00:ec2::254/128")},
			[]string{"10.1.2.3", "127.0.0.1", "169.254.1.1", "fd00:ec2::254"}, []string{"10.2.0.1", "169.254.169.254"}},
	} {
		for _, s := range c.open {
			if why := c.rules.Refuses(netip.AddrPortFrom(netip.MustParseAddr(s), 80)); why != "" {
				t.Errorf("%s: %s is refused: %s", c.name, s, why)
			}
		}
		for _, s := range c.shut {
			if c.rules.Refuses(netip.AddrPortFrom(netip.MustParseAddr(s), 80)) == "" {
				t.Errorf("%s: %s may be reached", c.name, s)
			}
		}
	}
}

// TestOwnAddresses: what this process listens on is refused, also where everything else is open, and nothing beside it.
func TestOwnAddresses(t *testing.T) {
	r := Rules{Loopback: true, Allow: prefixes("0.0.0.0/0", "::/0"), Own: Listeners{
		Bound: []netip.AddrPort{netip.MustParseAddrPort("[::]:8080"), netip.MustParseAddrPort("192.0.2.7:443"), netip.MustParseAddrPort("127.0.0.1:10254")},
		Local: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8"), netip.MustParseAddr("2001:db8::7")},
	}}
	for to, refused := range map[string]bool{
		"192.0.2.7:8080": true, "192.0.2.8:8080": true, "[2001:db8::7]:8080": true, "127.0.0.1:8080": true, "127.8.8.8:8080": true, "[::1]:8080": true,
		"[::ffff:192.0.2.7]:8080": true, "0.0.0.0:8080": true, "192.0.2.7:443": true, "127.0.0.1:10254": true,
		"192.0.2.9:8080": false, "192.0.2.7:8081": false, "192.0.2.8:443": false, "127.0.0.1:443": false, "192.0.2.7:10254": false,
	} {
		if why := r.Refuses(netip.MustParseAddrPort(to)); (why != "") != refused {
			t.Errorf("%s: %q", to, why)
		}
	}
}

// TestServers: the API server's own address and port; other ports of that machine are the business of whoever has them.
func TestServers(t *testing.T) {
	r := Rules{Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:6443")}}
	if r.Refuses(netip.MustParseAddrPort("192.0.2.7:6443")) == "" || r.Refuses(netip.MustParseAddrPort("[::ffff:192.0.2.7]:6443")) == "" {
		t.Error("the API server may be reached")
	}
	if why := r.Refuses(netip.MustParseAddrPort("192.0.2.7:8080")); why != "" {
		t.Errorf("a Pod on the API server's machine is refused: %s", why)
	}
	r.Allow = prefixes("192.0.2.0/24")
	if why := r.Refuses(netip.MustParseAddrPort("192.0.2.7:6443")); why != "" {
		t.Errorf("not opened: %s", why)
	}
}
