package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// Connections whose bytes are passed on as they are: TLS that is not ended here, and TCP services. An endpoint is chosen and remembered
// as for requests; once one took the connection there is no other try, since nobody knows what was said. The kernel carries the bytes.

// The kinds of streams, in the access log's field scheme and in metrics.
const (
	kindPassthrough = "passthrough"
	kindTCP         = "tcp"
)

// Passes reports whether any host's TLS is passed through.
func (p *Proxy) Passes() bool {
	t := p.tables.Load()
	return t != nil && t.Passes
}

// Pass serves a TLS connection that asks for a server name to its end, if TLS of that host is passed through; otherwise it returns
// false and has not touched it.
func (p *Proxy) Pass(client net.Conn, serverName string) bool {
	t := p.tables.Load()
	if t == nil {
		return false
	}
	name := decide.NormalHost(serverName)
	to := t.PassedThrough(name)
	if to == nil || name == "" {
		return false
	}
	p.stream(client, t, &stream{kind: kindPassthrough, to: to, name: name})
	return true
}

// Introduction implements server.Streams: a header is wanted where the service says so, from those who are believed.
func (p *Proxy) Introduction(port uint16, peer netip.Addr) (wait time.Duration, ok bool) {
	t := p.tables.Load()
	if t == nil || t.Policy == nil {
		return 0, true // Stream finds nothing
	}
	if s := t.Service(port); s == nil || !s.ProxyHeader {
		return 0, true
	}
	return t.Policy.Forwarded.ProxyTimeout, t.Policy.Forwarded.Believes(peer)
}

// Stream serves a connection of the TCP service at port to its end.
func (p *Proxy) Stream(client net.Conn, port uint16) {
	t := p.tables.Load()
	if t == nil {
		return
	}
	if s := t.Service(port); s != nil {
		p.stream(client, t, &stream{kind: kindTCP, to: s.Stream, name: strconv.Itoa(int(port))})
	}
}

// stream is one connection on its way.
type stream struct {
	kind string
	to   *route.Stream
	name string // the server name, or the port

	set     *policy.Set
	members *members
	record  Record
}

// stream carries a connection to its end and closes it.
func (p *Proxy) stream(client net.Conn, t *route.Table, s *stream) {
	defer client.Close()
	defer p.rescue(s)
	if s.set = s.to.Policy; s.set == nil {
		s.set = p.defaults
	}
	s.record = Record{Time: time.Now(), Request: &http.Request{}, Scheme: s.kind, Host: s.name, Proto: "TCP", Client: addressOf(client.RemoteAddr().String())}
	s.record.Route = &route.Route{Host: s.name, Ingress: s.to.Origin.Object}
	if s.to.Origin.Object.Kind != "Ingress" {
		s.record.Route = nil
	}
	if reason := p.carry(client, t, s); reason != "" {
		s.record.Reason, s.record.Status = reason, reason.Explain().Status
	}
	s.record.Duration = time.Since(s.record.Time)
	p.observer.Streamed(s.kind, &s.record)
	if p.log != nil {
		p.log.Log(&s.record)
	}
}

// rescue keeps a bug to its connection.
func (p *Proxy) rescue(s *stream) {
	if v := recover(); v != nil && p.panicked != nil {
		p.panicked(&http.Request{Host: s.name, URL: &url.URL{}}, v, debug.Stack())
	}
}

// carry returns why the connection was not passed on; the empty Reason once it was.
func (p *Proxy) carry(client net.Conn, t *route.Table, s *stream) policy.Reason {
	own, leave := p.ends.takes(client)
	defer leave()
	if own {
		return policy.LoopDetected
	}
	backend, reason := decide.Stream(t, s.to)
	if s.record.Backend = backend; reason != "" {
		return reason
	}
	found, transit := p.bindings.find(backend, way{protocol: pool.TCP})
	s.members = found
	if transit {
		defer p.bindings.release(found)
	}
	e, upstream, reason := p.connect(s)
	if reason != "" {
		return reason
	}
	defer e.End(true)
	own, leave = p.ends.opens(upstream)
	defer leave()
	if own {
		_ = upstream.Close()
		return policy.LoopDetected
	}
	s.record.Status = http.StatusOK
	header, err := s.introduction(client)
	if err == nil {
		_, err = upstream.Write(header)
	}
	if err != nil {
		_ = upstream.Close()
		s.record.Error = err.Error()
		return policy.EndpointReset
	}
	s.record.Received, s.record.Sent, err = http1.Tunnel(client, nil, upstream, s.idle(t))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.record.Error = err.Error()
	}
	return ""
}

// idle is the controller's: a stream may have been made for no Ingress.
func (s *stream) idle(t *route.Table) time.Duration {
	if t.Policy != nil {
		return t.Policy.Stream.Idle
	}
	return s.set.Stream.Idle
}

// connect tries endpoints until one takes the connection. The caller must End it.
func (p *Proxy) connect(s *stream) (*pool.Endpoint, net.Conn, policy.Reason) {
	var tried []int
	reason := policy.Overloaded
	s.members.group.Requested()
	for {
		i := p.chooseFor(s, tried)
		if i < 0 {
			return nil, nil, reason
		}
		e := s.members.endpoints[i]
		tried = append(tried, i)
		p.observer.Picked(s.record.Backend, e)
		e.Begin()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), s.set.Timeouts.Connect)
		conn, err := e.Connect(ctx)
		cancel()
		try := Try{Address: e.Address(), Duration: time.Since(began)}
		if err == nil {
			try.Status = http.StatusOK
			s.record.Tries, s.record.Upstream = append(s.record.Tries, try), try.Duration
			return e, conn, ""
		}
		s.record.Tries, s.record.Error = append(s.record.Tries, try), err.Error()
		cause := pool.CauseOf(err)
		reason = reasonOf(cause)
		health := &s.set.Health
		if s.members.group.Failed(e, s.members.endpoints[:s.members.ready], pool.Ejection{After: health.MaxFails, For: health.EjectFor}, cause) {
			p.observer.Ejected(s.record.Backend)
		}
		if limit := s.set.Retry.Tries; limit > 0 && len(tried) >= limit {
			return nil, nil, reason
		}
		p.observer.Retried(s.record.Backend, reason)
	}
}

// chooseFor chooses an endpoint as for requests, of which a connection has only the client's address.
func (p *Proxy) chooseFor(s *stream, tried []int) int {
	c := pool.Candidates{Endpoints: s.members.endpoints[:s.members.ready], Tried: tried,
		SlowStart: s.set.Balance.SlowStart, MaxInFlight: int64(s.set.Overload.MaxInFlightEndpoint)}
	switch {
	case s.members.backend.ClientIP || len(s.set.Balance.HashBy) > 0:
		return c.Rendezvous(pool.Hash(s.record.Client), s.members.seeds()[:s.members.ready])
	case s.set.Balance.Algorithm != policy.RoundRobin:
		return c.LeastRequest(rand.Uint64()) //nolint:gosec // chance
	}
	return c.RoundRobin(s.members.group.Turn())
}

// introduction is the PROXY protocol header that tells the endpoint who the client is, or nothing.
func (s *stream) introduction(client net.Conn) ([]byte, error) {
	if s.to.ProxyProtocol == 0 {
		return nil, nil
	}
	return proxyproto.HeaderProxyFromAddrs(s.to.ProxyProtocol, client.RemoteAddr(), client.LocalAddr()).Format()
}
