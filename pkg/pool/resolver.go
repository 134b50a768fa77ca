package pool

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// systemResolver is Go's own resolver, which follows /etc/resolv.conf. It does not tell how long an answer may be used, so its
// packets are looked at on their way in.
type systemResolver struct{ resolver *net.Resolver }

func newSystemResolver() *systemResolver {
	return &systemResolver{&net.Resolver{PreferGo: true, Dial: dialWatched}}
}

// Lookup implements Resolver.
func (s *systemResolver) Lookup(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	seen := &seenTTL{}
	addrs, err := s.resolver.LookupNetIP(context.WithValue(ctx, seenKey{}, seen), "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, seen.least(), err
}

// seenTTL is the smallest time to live of the answers to one lookup.
type seenTTL struct {
	mu  sync.Mutex
	ttl time.Duration
}

type seenKey struct{}

func (s *seenTTL) least() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ttl
}

func (s *seenTTL) note(ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ttl == 0 || ttl < s.ttl {
		s.ttl = max(ttl, leastTTL)
	}
}

func dialWatched(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if udp, ok := conn.(*net.UDPConn); ok {
		if seen, ok := ctx.Value(seenKey{}).(*seenTTL); ok {
			return &watchedUDP{udp, seen}, nil
		}
	}
	return conn, err
}

// watchedUDP is a socket to a name server. Over TCP, which only large answers need, nothing is watched.
type watchedUDP struct {
	*net.UDPConn
	seen *seenTTL
}

// Read receives one message and notes how long its addresses may be used.
func (w *watchedUDP) Read(p []byte) (int, error) {
	n, err := w.UDPConn.Read(p)
	if err == nil {
		w.inspect(p[:n])
	}
	return n, err
}

func (w *watchedUDP) inspect(message []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		switch h.Type {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME:
			w.seen.note(time.Duration(h.TTL) * time.Second)
		}
		if p.SkipAnswer() != nil {
			return
		}
	}
}
