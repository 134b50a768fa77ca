package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// behind makes the Server expect a PROXY header from everyone for d.
func behind(d time.Duration) func(*Options) {
	return func(o *Options) { o.ProxyProtocol = func(netip.Addr) time.Duration { return d } }
}

// whoAmI answers with the addresses a request comes from and went to.
func whoAmI(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %v", r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey))
}

// v2 is a header of version 2 with this command, family, address block and TLVs.
func v2(command, family byte, rest ...byte) string {
	return string(proxyproto.SIGV2) + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + string(rest)
}

var (
	fourAddresses = []byte{192, 0, 2, 7, 203, 0, 113, 1, 0xc8, 0x01, 0x01, 0xbb} // 192.0.2.7:51201 to 203.0.113.1:443
	sixAddresses  = append(append(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice()...), 0xc8, 0x01, 0x01, 0xbb)
)

const ownAddress = "127.0.0.1"

func TestProxyHeader(t *testing.T) {
	s := start(t, whoAmI, behind(10*time.Second))
	four, six := "192.0.2.7:51201 203.0.113.1:443", "[2001:db8::7]:51201 [2001:db8::1]:443"
	cases := []struct{ about, header, result, want string }{
		{"version 1", "PROXY TCP4 192.0.2.7 203.0.113.1 51201 443\r\n", "ok", four},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 51201 443\r\n", "ok", six},
		{"version 1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:203.0.113.1 51201 443\r\n", "ok", four},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", "local", ownAddress},
		{"version 1, unknown with text", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "local", ownAddress},
		{"version 2", v2(0x21, 0x11, fourAddresses...), "ok", four},
		{"version 2, IPv6", v2(0x21, 0x21, sixAddresses...), "ok", six},
		{"version 2, TLVs", v2(0x21, 0x11, append(fourAddresses, 0xea, 0, 3, 1, 'v', 'p', 4, 0xff, 0xff)...), "ok", four},
		{"version 2, many TLVs", v2(0x21, 0x11, append(fourAddresses, make([]byte, 4000)...)...), "ok", four},
		{"version 2, health check", v2(0x20, 0), "local", ownAddress},
		{"version 2, health check with an address", v2(0x20, 0x11, fourAddresses...), "local", ownAddress},
		{"version 2, unspecified", v2(0x21, 0, 1, 2, 3), "local", ownAddress},
		{"version 2, UNIX", v2(0x21, 0x31, make([]byte, 216)...), "local", ownAddress},
		{"version 2, UDP", v2(0x21, 0x12, fourAddresses...), "local", ownAddress},
	}
	for _, c := range cases {
		for _, segments := range []int{1, 2, len(c.header)} {
			for _, protocol := range []string{"", "http/1.1", "h2"} {
				got := askBehind(t, s, behindCase{c.header, protocol, segments})
				if !strings.HasPrefix(got, c.want) {
					t.Errorf("%s, %d segments, %q: got %q, want %q", c.about, segments, protocol, got, c.want)
				}
				if result := <-s.events.headers; result != c.result {
					t.Errorf("%s: counted as %s, want %s", c.about, result, c.result)
				}
			}
		}
	}
}

type behindCase struct {
	header   string
	protocol string // of ALPN; "" is plain
	segments int    // the header comes in; of one, the next bytes come with it
}

// askBehind sends a header and then a request, and returns the answer's body.
func askBehind(t *testing.T, s *running, c behindCase) string {
	t.Helper()
	address := s.https
	if c.protocol == "" {
		address = s.http
	}
	transport := &http.Transport{
		Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			held := c.header
			for ; c.segments > 1; c.segments-- {
				n := max(1, len(held)/c.segments)
				if _, err := io.WriteString(conn, held[:n]); err != nil {
					return nil, err
				}
				held = held[n:]
			}
			return &headed{Conn: conn, header: held}, nil
		},
	}
	defer transport.CloseIdleConnections()
	transport.Protocols.SetHTTP1(c.protocol != "h2")
	transport.Protocols.SetHTTP2(c.protocol == "h2")
	scheme := "https://"
	if c.protocol == "" {
		scheme = "http://"
	}
	_, body := get(t, &http.Client{Transport: transport, Timeout: 10 * time.Second}, scheme+address)
	return body
}

// headed sends a header together with the first bytes.
type headed struct {
	net.Conn
	header string
}

func (h *headed) Write(p []byte) (int, error) {
	if h.header == "" {
		return h.Conn.Write(p)
	}
	header := h.header
	h.header = ""
	n, err := h.Conn.Write(append([]byte(header), p...))
	return max(0, n-len(header)), err
}

// What is no header, or a bad one, ends the connection without a word.
func TestBadProxyHeaders(t *testing.T) {
	cases := []struct{ want, sent string }{
		{"missing", "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n"},
		{"missing", "\x16\x03\x01\x02\x00\x01"},
		{"missing", "PROXX"},
		{"missing", "\r\n\r\nGET / HTTP/1.1"},
		{"malformed", "PROXY TCP4 192.0.2.7 203.0.113.1 51201\r\n"},
		{"malformed", "PROXY TCP4 192.0.2.7 203.0.113.1 51201 66000\r\n"},
		{"malformed", "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"},
		{"malformed", "PROXY TCP4 192.0.2.7 203.0.113.1 51201 443\n"},
		{"malformed", "PROXYTCP4 192.0.2.7 203.0.113.1 51201 443\r\n"},
		{"malformed", "PROXY UDP4 192.0.2.7 203.0.113.1 51201 443\r\n"},
		{"malformed", "PROXY TCP4 " + strings.Repeat("1", 200)},
		{"malformed", v2(0x31, 0x11, fourAddresses...)},
		{"malformed", v2(0x22, 0x11, fourAddresses...)},
		{"malformed", v2(0x21, 0x13, fourAddresses...)},
		{"malformed", v2(0x21, 0x11, fourAddresses[:11]...)},
		{"malformed", v2(0x21, 0x11, make([]byte, 5000)...)},
		{"timeout", ""},
		{"timeout", "PROXY TCP4 192.0.2.7"},
		{"timeout", v2(0x21, 0x11, fourAddresses...)[:20]},
		{"client-left", ""},
	}
	patient, impatient := start(t, whoAmI, behind(10*time.Second)), start(t, whoAmI, behind(30*time.Millisecond))
	for _, c := range cases {
		s := patient
		if c.want == "timeout" {
			s = impatient
		}
		for _, address := range []string{s.http, s.https} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, c.sent)
			if c.want == "client-left" {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			if got, _ := io.ReadAll(conn); len(got) > 0 {
				t.Errorf("%q was answered %q", c.sent, got)
			}
			if got := <-s.events.headers; got != c.want {
				t.Errorf("%q: counted as %s, want %s", c.sent, got, c.want)
			}
			conn.Close()
		}
	}
}

// A peer that no header is expected from is a client like any other, and cannot choose its address.
func TestProxyHeaderOfAStranger(t *testing.T) {
	refused := make(chan string, 1)
	s := start(t, whoAmI, behind(0), func(o *Options) {
		o.Refused = func(_ http.Header, _ *http.Request, why Refusal) []byte { refused <- why.Reason; return nil }
	})
	if _, got := get(t, client(t), "http://"+s.http); !strings.HasPrefix(got, ownAddress) {
		t.Errorf("without a header: got %q", got)
	}
	for _, header := range []string{"PROXY TCP4 192.0.2.7 203.0.113.1 51201 443\r\n", v2(0x21, 0x11, fourAddresses...)} {
		conn, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%sGET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", header)
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 400 {
			t.Errorf("%q: got %v, %v", header, resp, err)
		}
		if got := <-refused; got != "proxy-header" {
			t.Errorf("%q: refused for %s", header, got)
		}
		conn.Close()
		if conn, err = net.Dial("tcp", s.https); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, header)
		if got := <-s.events.handshakes; got != "proxy-header" {
			t.Errorf("%q: handshake %s", header, got)
		}
		conn.Close()
	}
}

// Behind a header the handler still gets the socket itself, which is what http1 splices.
func TestProxyHeaderKeepsTheSocket(t *testing.T) {
	kinds := make(chan string, 1)
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		kinds <- fmt.Sprintf("%T", conn)
		conn.Close()
	}, behind(10*time.Second))
	conn, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%sGET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", v2(0x21, 0x11, fourAddresses...))
	if got := <-kinds; got != "*net.TCPConn" {
		t.Errorf("got a %s", got)
	}
}

// A connection that waits for its header when a drain begins is still served, and counted as one that has not begun.
func TestDrainServesLateHeaders(t *testing.T) {
	s := start(t, whoAmI, behind(time.Minute))
	conn, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	until(t, "in its header", func() (yes bool) {
		s.Connections(func(l, state string, n int64) { yes = yes || l == "http" && state == "handshake" && n == 1 })
		return yes
	})
	drained := s.drain(time.Minute)
	fmt.Fprintf(conn, "%sGET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", v2(0x21, 0x11, fourAddresses...))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(body), "192.0.2.7:") {
		t.Errorf("got %q", body)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// FuzzProxyHeader: how long we think a header is is how much the library reads, whatever comes, and never more than the bound.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 203.0.113.1 51201 443\r\nGET /"))
	f.Add([]byte(v2(0x21, 0x21, sixAddresses...) + "GET /"))
	f.Add([]byte(v2(0x21, 0x11, append(fourAddresses, 4, 0, 1, 0)...)))
	f.Add([]byte(v2(0x20, 0)))
	f.Fuzz(func(t *testing.T, input []byte) {
		length, err := proxyHeaderLength(input)
		reader := bytes.NewReader(input)
		buffered := bufio.NewReaderSize(reader, 8<<10)
		theirs, failed := proxyproto.Read(buffered)
		read := len(input) - reader.Len() - buffered.Buffered()
		switch {
		case length > maxProxyHeader || length < 0:
			t.Fatalf("length %d", length)
		case err != nil && failed == nil:
			t.Fatalf("refused (%v) what the library takes: %+v", err, theirs)
		case failed == nil && length != read:
			t.Fatalf("length %d, the library read %d", length, read)
		case length == 0 || length > len(input):
			return
		}
		ours, err := parseProxyHeader(input[:length])
		if err != nil {
			if !errors.Is(err, errBadHeader) || failed == nil {
				t.Fatalf("%v; the library says %v", err, failed)
			}
			return
		}
		if source, destination, ok := ours.TCPAddrs(); ok && (source.IP == nil || destination.IP == nil) {
			t.Fatalf("addresses %v, %v", source, destination)
		}
	})
}
