package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
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

// TestAFailureIsKeptForAMoment: a name that does not resolve costs one question a second, and is asked for again after that.
func TestAFailureIsKeptForAMoment(t *testing.T) {
	a := &answers{err: errors.New("name server is down")}
	n := newNames(a)
	now := time.Unix(0, 0)
	n.now = func() time.Time { return now }
	for range 100 {
		if _, _, err := n.lookup(t.Context(), "db.test"); !errors.Is(err, a.err) {
			t.Fatalf("%v", err)
		}
	}
	if a.asked != 1 {
		t.Errorf("asked %d times", a.asked)
	}
	now = now.Add(failedTTL)
	a.err, a.addrs = nil, []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	if addrs, _, err := n.lookup(t.Context(), "db.test"); err != nil || len(addrs) != 1 || a.asked != 2 {
		t.Errorf("%v %v, asked %d times", addrs, err, a.asked)
	}
}

// TestUnusedNamesAreForgotten: a tenant who goes through names leaves none behind, while one in use stays, also when it is old.
func TestUnusedNamesAreForgotten(t *testing.T) {
	n := newNames(&answers{addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	now := time.Unix(0, 0)
	n.now = func() time.Time { return now }
	for i := range 10_000 {
		now = now.Add(time.Second)
		for _, host := range []string{"used.test", fmt.Sprintf("n%d.test", i)} {
			if _, _, err := n.lookup(t.Context(), host); err != nil {
				t.Fatal(err)
			}
		}
	}
	if most := int((unusedFor + unusedFor/10) / time.Second); len(n.known) > most+2 {
		t.Errorf("%d names are known, want at most %d", len(n.known), most+2)
	}
	if n.known["used.test"] == nil || n.known["n0.test"] != nil {
		t.Error("the wrong ones were forgotten")
	}
}

// slow is a Resolver that takes until it is released.
type slow struct {
	asked   atomic.Int64
	release chan struct{}
}

func (s *slow) Lookup(ctx context.Context, _ string) ([]netip.Addr, time.Duration, error) {
	s.asked.Add(1)
	select {
	case <-s.release:
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, time.Minute, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// TestALookupEndsWithItsRequest: whether it began the question or waits for another's; the question itself goes on for who still waits.
func TestALookupEndsWithItsRequest(t *testing.T) {
	s := &slow{release: make(chan struct{})}
	n := newNames(s)
	canceled, cancel := context.WithCancel(t.Context())
	var gone, patient sync.WaitGroup
	for range 2 {
		gone.Go(func() {
			if _, _, err := n.lookup(canceled, "db.test"); dialCause(err) != Canceled {
				t.Errorf("%v, want the end of the request", err)
			}
		})
	}
	patient.Go(func() {
		if addrs, _, err := n.lookup(t.Context(), "db.test"); err != nil || len(addrs) != 1 {
			t.Errorf("%v %v", addrs, err)
		}
	})
	cancel()
	gone.Wait()
	close(s.release)
	patient.Wait()
	if s.asked.Load() != 1 {
		t.Errorf("asked %d times", s.asked.Load())
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
