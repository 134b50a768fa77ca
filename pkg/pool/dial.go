package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/egress"
	"github.com/usher-ingress/usher/pkg/sock"
)

// errDenied is a connection that was refused before it was made.
var errDenied = errors.New("the address may not be reached through an Ingress")

// dialer makes connections to endpoints.
type dialer struct {
	rules   egress.Rules // but for what changes: servers and own
	servers atomic.Pointer[[]netip.AddrPort]
	own     func() egress.Listeners // may be nil
	names   *names
	net     net.Dialer
}

func newDialer(o Options) *dialer {
	return &dialer{
		rules: egress.Rules{Allow: o.Allow, Loopback: o.AllowLoopback, Deny: o.DenyExtra},
		own:   o.Own,
		names: newNames(o.Resolver),
		net:   net.Dialer{KeepAlive: 15 * time.Second},
	}
}

// maxLife bounds the age of a connection to a name, so that requests follow when the name moves.
func maxLife(k Key) time.Duration {
	if _, err := netip.ParseAddrPort(k.Address); err == nil {
		return 0
	}
	return time.Minute
}

// to returns the function that connects to an endpoint, TLS handshake included.
func (d *dialer) to(k Key) func(context.Context) (net.Conn, error) {
	plain := d.plain(k.Address)
	if k.Protocol != HTTP1TLS && k.Protocol != H2 {
		return plain
	}
	config := clientTLS(k)
	return func(ctx context.Context) (net.Conn, error) {
		socket, err := plain(ctx)
		if err != nil {
			return nil, err
		}
		below := socket
		if k.Protocol == HTTP1TLS {
			below = sock.Direct(socket) // which knows how much of a request is on its way
		}
		conn, err := shake(ctx, below, config)
		if err != nil {
			_ = socket.Close()
			return nil, err
		}
		return conn, nil
	}
}

func (d *dialer) plain(address string) func(context.Context) (net.Conn, error) {
	if addr, err := netip.ParseAddrPort(address); err == nil {
		return func(ctx context.Context) (net.Conn, error) { return d.dial(ctx, addr) }
	}
	return func(ctx context.Context) (net.Conn, error) { return d.dialName(ctx, address) }
}

func (d *dialer) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	rules := d.rules
	if servers := d.servers.Load(); servers != nil {
		rules.Servers = *servers
	}
	if d.own != nil {
		rules.Own = d.own()
	}
	if why := rules.Refuses(addr); why != "" {
		return nil, fmt.Errorf("%w: %s is %s", errDenied, addr, why)
	}
	conn, err := d.net.DialContext(ctx, "tcp", addr.String())
	if err == nil && toItself(conn, rules.Own) {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %s is %s", errDenied, addr, egress.Itself)
	}
	return conn, err
}

// toItself reports whether a connection is one to a port of this process. The kernel gives both ends of a connection within a machine the
// same address, also where no interface has it, as with a local route.
func toItself(conn net.Conn, own egress.Listeners) bool {
	from, ok := conn.LocalAddr().(*net.TCPAddr)
	to, is := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !is || !from.IP.Equal(to.IP) {
		return false
	}
	at := to.AddrPort()
	own.Local = []netip.Addr{at.Addr().Unmap().WithZone("")}
	rules := egress.Rules{Loopback: true, Own: own}
	return rules.Refuses(at) == egress.Itself
}

// dialName tries the addresses of a name one after the other, beginning with another one each time.
func (d *dialer) dialName(ctx context.Context, address string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q of %s: want a number", service, address)
	}
	addrs, turn, err := d.names.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var first error
	for i := range addrs {
		addr := addrs[(turn+i)%len(addrs)]
		conn, err := d.dial(ctx, netip.AddrPortFrom(addr, uint16(port)))
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}
