package certs

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/usher-ingress/usher/pkg/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is an Observer.
type counter struct {
	mu     sync.Mutex
	served map[string]int
}

func (c *counter) CertificateServed(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.served == nil {
		c.served = map[string]int{}
	}
	c.served[source]++
}

// listen answers every connection with a handshake of s, on loopback.
func listen(t *testing.T, s *Selector) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Config())
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer conn.Close()
				_ = conn.(*tls.Conn).Handshake()
				_, _ = conn.Read(make([]byte, 1))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		connections.Wait()
	})
	return l.Addr().String()
}

func live(set *route.Certificates) *route.Live {
	l := &route.Live{}
	l.Swap(&route.Table{Certificates: set})
	return l
}

func shake(address string, config *tls.Config) (tls.ConnectionState, error) {
	config.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

func newSelector(t *testing.T, tables Tables, o Observer) *Selector {
	t.Helper()
	s, err := New(tables, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHandshakeDefaults(t *testing.T) {
	s := newShop(t)
	address := listen(t, newSelector(t, live(s.set), nil))
	state, err := shake(address, &tls.Config{ServerName: "shop.example.com", NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != "h2" {
		t.Errorf("got TLS %x, curve %v, protocol %q", state.Version, state.CurveID, state.NegotiatedProtocol)
	}
	if !state.PeerCertificates[0].Equal(s.exact.TLS.Leaf) {
		t.Errorf("got the certificate of %v", state.PeerCertificates[0].DNSNames)
	}
	if _, err := shake(address, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if state, err := shake(address, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2: %v", err)
	}
	if state, err := shake(address, &tls.Config{NextProtos: []string{"http/1.1"}}); err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("ALPN http/1.1: %v", err)
	}
}

func TestSessionsResume(t *testing.T) {
	s := newShop(t)
	address := listen(t, newSelector(t, live(s.set), nil))
	config := &tls.Config{ServerName: "shop.example.com", MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, want := range []bool{false, true} {
		if state, err := shake(address, config); err != nil || state.DidResume != want {
			t.Errorf("handshake %d: resumed %v, %v; want %v", i, state.DidResume, err, want)
		}
	}
}

// A client that cannot verify ECDSA gets the RSA certificate of the same name; everybody else gets ECDSA.
func TestRSAAndECDSA(t *testing.T) {
	set := &route.Certificates{}
	set.Add("shop.example.com", certificate(t, rsaKey(), "shop.example.com", valid()))
	set.Add("shop.example.com", certificate(t, ecdsaKey(), "shop.example.com", valid()))
	address := listen(t, newSelector(t, live(set), nil))

	old := &tls.Config{ServerName: "shop.example.com", MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	for want, config := range map[x509.PublicKeyAlgorithm]*tls.Config{x509.ECDSA: {ServerName: "shop.example.com"}, x509.RSA: old} {
		state, err := shake(address, config)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		if got := state.PeerCertificates[0].PublicKeyAlgorithm; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestFallbackIsServedAndSeen(t *testing.T) {
	var seen counter
	address := listen(t, newSelector(t, &route.Live{}, &seen))
	state, err := shake(address, &tls.Config{ServerName: "shop.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if cn := state.PeerCertificates[0].Subject.CommonName; cn != FallbackName {
		t.Errorf("got %q", cn)
	}
	if seen.served["fallback"] != 1 {
		t.Errorf("observed %v", seen.served)
	}
}

// A certificate is replaced under a stream of handshakes, more often than one completes: none fails, and each gets one of the two.
func TestRotationWithoutADrop(t *testing.T) {
	const handshakes = 200
	first, second := newShop(t), newShop(t)
	tables := live(first.set)
	address := listen(t, newSelector(t, tables, nil))

	answers := make(chan *x509.Certificate)
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for range handshakes / 2 {
				state, err := shake(address, &tls.Config{ServerName: "shop.example.com"})
				if err != nil {
					t.Errorf("a handshake failed: %v", err)
					answers <- nil
					continue
				}
				answers <- state.PeerCertificates[0]
			}
		})
	}
	seen := map[bool]int{}
	for i := range handshakes {
		tables.Swap(&route.Table{Generation: uint64(i), Certificates: []*route.Certificates{second.set, first.set}[i%2]})
		if c := <-answers; c != nil {
			seen[c.Equal(first.exact.TLS.Leaf)]++
			if !c.Equal(first.exact.TLS.Leaf) && !c.Equal(second.exact.TLS.Leaf) {
				t.Errorf("got the certificate of %v", c.DNSNames)
			}
		}
	}
	clients.Wait()
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("the rotation was not seen: %v", seen)
	}
}
