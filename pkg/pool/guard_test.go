package pool

import (
	"net/netip"
	"testing"
)

func TestGuard(t *testing.T) {
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		guard guard
		open  []string
		shut  []string
	}{
		{"as it is", guard{},
			[]string{"10.0.0.1", "192.168.1.1", "1.1.1.1", "fd00::1", "2606:4700::1111", "100.64.0.1", "::ffff:10.0.0.1"},
			[]string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::",
				"0.1.2.3", "224.0.0.1", "ff02::1", "255.255.255.255", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::"}},
		{"with manifests", guard{loopback: true}, []string{"127.0.0.1", "::1"}, []string{"169.254.169.254", "0.0.0.0"}},
		{"the API server", guard{deny: prefixes("10.96.0.1/32")}, []string{"10.96.0.2"}, []string{"10.96.0.1", "::ffff:10.96.0.1"}},
		{"opened", guard{deny: prefixes("10.0.0.0/8"), allow: prefixes("10.1.0.0/16", "127.0.0.0/8", "169.254.1.1/32")},
			[]string{"10.1.2.3", "127.0.0.1", "169.254.1.1"}, []string{"10.2.0.1", "169.254.169.254"}},
	} {
		for _, s := range c.open {
			if err := c.guard.check(netip.MustParseAddr(s)); err != nil {
				t.Errorf("%s: %s: %v", c.name, s, err)
			}
		}
		for _, s := range c.shut {
			if c.guard.check(netip.MustParseAddr(s)) == nil {
				t.Errorf("%s: %s may be reached", c.name, s)
			}
		}
	}
}
