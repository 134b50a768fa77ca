package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/egress"
)

// Usher is no endpoint of its own: neither a port that it listens on, at any address of the machine, nor, in a Pod with a network of its
// own, any port of that Pod. On the node's network other ports of the node may well be Pods'.

// ownPorts are the ports of this process by its flags, for what is decided before they are open.
func (f *serveFlags) ownPorts() egress.Listeners {
	var at []netip.AddrPort
	add := func(texts ...string) {
		for _, text := range texts {
			host, port, _ := net.SplitHostPort(text)
			number, err := strconv.ParseUint(port, 10, 16)
			if err != nil || number == 0 {
				continue
			}
			addr, err := netip.ParseAddr(host)
			if err != nil {
				addr = netip.IPv6Unspecified()
			}
			at = append(at, netip.AddrPortFrom(addr, uint16(number)))
		}
	}
	add(f.listen(f.httpPort)...)
	add(f.listen(f.httpsPort)...)
	add(f.redirectAt()...)
	add(net.JoinHostPort(f.adminBind, strconv.Itoa(int(f.adminPort))))
	return egress.Listeners{Bound: at, Local: machineAddresses()}
}

// machineAddresses are those of all interfaces.
func machineAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// localFor is how long the machine's addresses are taken to be what they were.
const localFor = 10 * time.Second

// machine remembers the addresses of this machine.
type machine struct {
	mu    sync.Mutex
	local []netip.Addr
	read  time.Time
}

func (m *machine) addresses() []netip.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.read) >= localFor {
		m.local, m.read = machineAddresses(), time.Now()
	}
	return m.local
}

// listeners are the ports that are open now.
func (s *service) listeners() egress.Listeners {
	if s.server == nil || s.adminAt == nil {
		return egress.Listeners{}
	}
	admin := s.adminAt.Addr().(*net.TCPAddr).AddrPort()
	return egress.Listeners{Bound: append(s.server.Listens(), admin), Local: s.machine.addresses()}
}

// podAddresses are those of the Pod, if it has a network of its own: $POD_IPS, unless $HOST_IP is among them.
func podAddresses() []netip.Prefix {
	ips := strings.Split(os.Getenv("POD_IPS"), ",")
	host := os.Getenv("HOST_IP")
	if host == "" || slices.Contains(ips, host) {
		return nil
	}
	var out []netip.Prefix
	for _, text := range ips {
		if addr, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return out
}
