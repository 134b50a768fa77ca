package pool

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/usher-ingress/usher/pkg/http1"
)

// dialer makes connections to endpoints.
type dialer struct {
	guard guard
	names *names
	net   net.Dialer
}

func newDialer(o Options) *dialer {
	return &dialer{
		guard: guard{allow: o.Allow, loopback: o.AllowLoopback, deny: o.DenyExtra},
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
			below = http1.Direct(socket) // which knows how much of a request is on its way
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
	if err := d.guard.check(addr.Addr()); err != nil {
		return nil, err
	}
	return d.net.DialContext(ctx, "tcp", addr.String())
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
