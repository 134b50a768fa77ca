package pool

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answers is a Resolver that says what it is told to.
type answers struct {
	addrs []netip.Addr
	ttl   time.Duration
	err   error
	asked int
}

func (a *answers) Lookup(context.Context, string) ([]netip.Addr, time.Duration, error) {
	a.asked++
	return a.addrs, a.ttl, a.err
}

func TestNamesAreRemembered(t *testing.T) {
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	a := &answers{addrs: []netip.Addr{one}, ttl: 10 * time.Second}
	now := time.Unix(0, 0)
	n := newNames(a)
	n.now = func() time.Time { return now }
	expect := func(what string, want netip.Addr, asked int) {
		t.Helper()
		addrs, _, err := n.lookup(context.Background(), "db.test")
		if err != nil || len(addrs) != 1 || addrs[0] != want || a.asked != asked {
			t.Errorf("%s: %v %v, asked %d times", what, addrs, err, a.asked)
		}
	}
	expect("first", one, 1)
	now = now.Add(9 * time.Second)
	a.addrs = []netip.Addr{two}
	expect("within its time to live", one, 1)
	now = now.Add(2 * time.Second)
	expect("after it", two, 2)
	now = now.Add(time.Minute)
	a.err = errors.New("name server is down")
	expect("the last good answer", two, 3)
	expect("and not asked again at once", two, 3)
	now = now.Add(retryAfter + 1)
	a.err, a.ttl = nil, 0
	expect("asked again", two, 4)
	now = now.Add(unknownTTL - time.Second)
	expect("an answer without time to live", two, 4)
}

func TestUnknownName(t *testing.T) {
	n := newNames(&answers{})
	var dns *net.DNSError
	if _, _, err := n.lookup(context.Background(), "db.test"); !errors.As(err, &dns) {
		t.Errorf("no addresses: %v", err)
	}
}

func TestNamesLeadToLoopback(t *testing.T) {
	a := &answers{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254")}}
	p := New(Options{Resolver: a})
	_, err := p.dialer.to(Key{Address: "innocent.test:80"})(context.Background())
	if !errors.Is(err, errDenied) || dialCause(err) != Denied {
		t.Errorf("%v", err)
	}
}

func TestEveryAddressOfANameIsTried(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	a := &answers{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.2")}}
	dial := New(Options{Resolver: a, AllowLoopback: true}).dialer.to(Key{Address: "app.test:" + port})
	for range 4 {
		conn, err := dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if a.asked != 1 {
		t.Errorf("asked %d times", a.asked)
	}
}

// TestTimeToLiveIsSeen: Go's resolver does not tell it; the packets do.
func TestTimeToLiveIsSeen(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); nameServer(server, 42) }()
	defer func() { _ = server.Close(); <-done }()
	s := newSystemResolver()
	s.resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialWatched(ctx, network, server.LocalAddr().String())
	}
	addrs, ttl, err := s.Lookup(context.Background(), "db.example.com.")
	if err != nil || len(addrs) != 1 || addrs[0] != netip.MustParseAddr("10.1.2.3") || ttl != 42*time.Second {
		t.Errorf("%v %v %v", addrs, ttl, err)
	}
}

// nameServer answers every question for an IPv4 address.
func nameServer(c net.PacketConn, ttl uint32) {
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b[:n]) != nil {
			continue
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: ttl},
				Body:   &dnsmessage.AResource{A: [4]byte{10, 1, 2, 3}},
			}}
		}
		answer, _ := m.Pack()
		_, _ = c.WriteTo(answer, from)
	}
}

// FuzzInspect: whatever a name server sends, the time to live that is seen is none or at least the least.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01"))
	f.Add([]byte("\x00\x01\x81\x80\x00\x00\x00\x01\x00\x00\x00\x00\xc0\x0c"))
	f.Fuzz(func(t *testing.T, message []byte) {
		seen := &seenTTL{}
		(&watchedUDP{seen: seen}).inspect(message)
		if ttl := seen.least(); ttl != 0 && ttl < leastTTL {
			t.Errorf("%v", ttl)
		}
	})
}
